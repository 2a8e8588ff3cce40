package identity

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

// medianRatio times two things in turn, so that noise falls on both, and gives
// the ratio of their medians.
func medianRatio(n int, a, b func()) float64 {
	took := [2][]time.Duration{}
	for range n {
		for i, f := range []func(){a, b} {
			start := time.Now()
			f()
			took[i] = append(took[i], time.Since(start))
		}
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return float64(took[0][n/2]) / float64(took[1][n/2])
}

// With the real cost of a hash: the time of a refused login must not tell
// whether the address is known. The control leaves the dummy hash out.
func TestUnknownAddressesTakeAsLongAsKnownOnes(t *testing.T) {
	d := newDeskAt(t, DefaultHashCost)
	c := d.approved(RoleCustomer)
	const tries = 21
	login := func(email string) func() {
		return func() {
			d.tryLogin(email, "not the password").want(t, 401, "invalid_credentials")
			if _, err := d.pool.Exec(context.Background(), "delete from rate_limits"); err != nil {
				t.Fatal(err)
			}
		}
	}
	ratio := medianRatio(tries, login(c.email), login("nobody@desk.test"))
	t.Logf("known/unknown, ratio of %d medians: %.3f", tries, ratio)
	if ratio < 0.8 || ratio > 1.25 {
		t.Errorf("known addresses take %.3f times as long as unknown ones", ratio)
	}
	control := medianRatio(5, login(c.email), func() { d.loginWithoutDummy(t, "nobody@desk.test") })
	t.Logf("without the dummy hash: %.3f", control)
	if control < 1.25 {
		t.Errorf("the control can't be told apart: %.3f", control)
	}
}

// loginWithoutDummy is Login as it must not be: it goes home early.
func (d *desk) loginWithoutDummy(t testing.TB, email string) {
	ctx, limits := context.Background(), guessing{account: email, network: freshAddress()}
	if err := limits.check(ctx, d.service.q, d.service.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.service.q.UserByEmail(ctx, email); err == nil {
		t.Fatal("the address is known")
	}
	if err := d.service.guessedWrong(ctx, limits, crmdb.UserByEmailRow{}.ID); !errors.Is(err, errCredentials) {
		t.Fatal(err)
	}
}

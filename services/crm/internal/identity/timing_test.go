package identity

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmdb"
)

// medianRatio measures two functions alternately, so that noise affects both, and
// returns the ratio of their medians.
func medianRatio(n int, a, b func()) float64 {
	took := [2][]time.Duration{}
	for i := range 2 * n {
		which := (i + i/2) % 2 // a b b a a b b a ...
		start := time.Now()
		[]func(){a, b}[which]()
		took[which] = append(took[which], time.Since(start))
	}
	slices.Sort(took[0])
	slices.Sort(took[1])
	return float64(took[0][n/2]) / float64(took[1][n/2])
}

// TestUnknownAddressesTakeAsLongAsKnownOnes measures refused logins at the real
// cost of a hash. The control omits the dummy hash.
func TestUnknownAddressesTakeAsLongAsKnownOnes(t *testing.T) {
	env := newTestEnvAt(t, DefaultHashCost)
	c := env.approved(RoleCustomer)
	const tries = 21
	login := func(email string) func() {
		return func() {
			env.tryLogin(email, "not the password").want(t, 401, "invalid_credentials")
			if _, err := env.pool.Exec(context.Background(), "delete from rate_limits"); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A busy machine can distort one round, hardly three; a real difference shows in
	// each.
	alike := false
	for range 3 {
		ratio := medianRatio(tries, login(c.email), login("nobody@fixdesk.test"))
		t.Logf("known/unknown, ratio of the medians of %d: %.3f", tries, ratio)
		if alike = ratio > 0.8 && ratio < 1.25; alike {
			break
		}
	}
	if !alike {
		t.Error("known and unknown addresses differ in time")
	}
	control := medianRatio(5, login(c.email), func() { env.loginWithoutDummy(t, "nobody@fixdesk.test") })
	t.Logf("without the dummy hash: %.3f", control)
	if control < 2 {
		t.Errorf("the control does not differ: %.3f", control)
	}
}

// loginWithoutDummy is the control: a login that hashes nothing for an unknown
// address.
func (env *testEnv) loginWithoutDummy(t testing.TB, email string) {
	ctx, limits := context.Background(), &loginLimits{account: email, network: freshAddress()}
	if err := limits.check(ctx, env.service.q, env.service.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := env.service.q.UserByEmail(ctx, email); err == nil {
		t.Fatal("the address is known")
	}
	if err := env.service.countFailure(ctx, limits, crmdb.UserByEmailRow{}.ID); !errors.Is(err, errCredentials) {
		t.Fatal(err)
	}
}

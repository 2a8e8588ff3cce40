package identity

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
)

// Each race is run this often, two or more at a time against each other.
const races = 1000

// inRaces runs f for each of the races, a few side by side.
func inRaces(f func(i int)) {
	atOnce(8, func(worker int) struct{} {
		for i := worker; i < races; i += 8 {
			f(i)
		}
		return struct{}{}
	})
}

func codeOf(err error) string {
	if err == nil {
		return "ok"
	}
	if e := errs.As(err); e != nil {
		return e.Code
	}
	return err.Error()
}

// oneWins tells whether exactly one of the outcomes is ok and the others are
// this code.
func oneWins(outcomes []string, code string) bool {
	won := 0
	for _, o := range outcomes {
		switch o {
		case "ok":
			won++
		case code:
		default:
			return false
		}
	}
	return won == 1
}

func TestOfManyDecisionsAtTheSameTimeOneWins(t *testing.T) {
	d := newDesk(t)
	admins := []Principal{d.admin.principal(), d.approved(RoleAdmin).principal()}
	ctx := context.Background()
	var applicants []uuid.UUID
	for i := range races {
		applicants = append(applicants, d.insertUser(t, fmt.Sprintf("race-%d@desk.test", i), RoleAdmin, StatusPending))
	}
	inRaces(func(i int) {
		outcomes := atOnce(4, func(n int) string {
			if n%2 == 0 {
				_, err := d.service.Approve(ctx, admins[n/2], applicants[i])
				return codeOf(err)
			}
			_, err := d.service.Reject(ctx, admins[n/2], applicants[i], "no")
			return codeOf(err)
		})
		if !oneWins(outcomes, "already_decided") {
			t.Errorf("race %d: %v", i, outcomes)
		}
	})
	if n := d.count("select count(*) from outbox where kind = 'registration_decided'"); n != races+1 {
		t.Errorf("%d applicants were told, want %d", n, races+1)
	}
	if n := d.count("select count(*) from users u join registrations r on r.user_id = u.id where (u.status = 'rejected') <> coalesce(r.reason = 'no', false)"); n != 0 {
		t.Errorf("%d registrations with half of each decision", n)
	}
}

// insertUser makes an account without the cost of a request.
func (d *desk) insertUser(t testing.TB, email string, role Role, status Status) uuid.UUID {
	t.Helper()
	id := newID()
	if _, err := d.pool.Exec(context.Background(),
		`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		 values ($1, 'Somebody', $2, $2, '', $3, $4, now(), now())`, id, email, role, status); err != nil {
		t.Fatal(err)
	}
	if status == StatusPending {
		if _, err := d.pool.Exec(context.Background(), "insert into registrations (user_id, created_at) values ($1, now())", id); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func TestTwoAdminsWhoDemoteEachOtherLeaveOne(t *testing.T) {
	d := newDesk(t)
	a := d.admin.principal()
	b := d.approved(RoleAdmin).principal()
	ctx, anyVersion := context.Background(), func(int32) bool { return true }
	changes := []func() Change{
		func() Change { r := RoleCustomer; return Change{Role: &r} },
		func() Change { s := StatusSuspended; return Change{Status: &s} },
		func() Change { s := StatusRejected; return Change{Status: &s} },
	}
	for i := range races {
		change := changes[i%len(changes)]()
		outcomes := atOnce(2, func(n int) string {
			who, whom := a, b
			if n == 1 {
				who, whom = b, a
			}
			_, err := d.service.ChangeUser(ctx, who, whom.UserID, change, anyVersion)
			return codeOf(err)
		})
		if !oneWins(outcomes, "last_admin") {
			t.Fatalf("race %d: %v", i, outcomes)
		}
		if n := d.count("select count(*) from users where role = 'admin' and status = 'approved'"); n != 1 {
			t.Fatalf("race %d: %d admins left", i, n)
		}
		if _, err := d.pool.Exec(ctx, "update users set role = 'admin', status = 'approved' where id in ($1, $2)", a.UserID, b.UserID); err != nil {
			t.Fatal(err)
		}
	}
}

// The control: without the lock both succeed, so the race above is a race.
func TestWithoutTheLockBothAdminsWouldGo(t *testing.T) {
	d := newDesk(t)
	ids := []uuid.UUID{d.admin.principal().UserID, d.insertUser(t, "second@desk.test", RoleAdmin, StatusApproved)}
	ctx := context.Background()
	var bothLooked sync.WaitGroup
	bothLooked.Add(2)
	outcomes := atOnce(2, func(n int) error {
		tx, err := d.pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		var others bool
		if err := tx.QueryRow(ctx, "select exists (select from users where role = 'admin' and status = 'approved' and id <> $1)", ids[n]).Scan(&others); err != nil || !others {
			return fmt.Errorf("others %v: %w", others, err)
		}
		bothLooked.Done()
		bothLooked.Wait()
		if _, err := tx.Exec(ctx, "update users set role = 'customer' where id = $1", ids[n]); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
	if outcomes[0] != nil || outcomes[1] != nil || d.count("select count(*) from users where role = 'admin'") != 0 {
		t.Errorf("the control doesn't fail: %v", outcomes)
	}
}

func TestOfManyRegistrationsOfOneAddressOneWins(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	inRaces(func(i int) {
		outcomes := atOnce(3, func(n int) string {
			email := fmt.Sprintf("Race-%d@Desk.test", i)
			if n%2 == 0 {
				email = fmt.Sprintf("race-%d@desk.TEST", i)
			}
			err := d.service.create(ctx, d.newUser(email, RoleEngineer), goodPassword, auditRegistered)
			return codeOf(err)
		})
		if !oneWins(outcomes, "email_taken") {
			t.Errorf("race %d: %v", i, outcomes)
		}
	})
	if n := d.count("select count(*) from outbox where kind = 'registration_waiting'"); n != races {
		t.Errorf("%d notices of %d registrations", n, races)
	}
}

func (d *desk) newUser(email string, role Role) User {
	now := d.service.now()
	return User{ID: newID(), Name: "Racer", Email: normalAddress(email), Role: role, Status: initialStatus(role), Version: 1, CreatedAt: now, UpdatedAt: now}
}

func TestOneTokenRefreshedManyTimesAtOnceHasOneSuccessor(t *testing.T) {
	d := newDesk(t)
	ctx := context.Background()
	inRaces(func(i int) {
		token := d.openSession(t)
		results := atOnce(4, func(int) string {
			grant, err := d.service.Refresh(ctx, token, "")
			if err != nil {
				return codeOf(err)
			}
			return grant.RefreshToken
		})
		if different := slices.Compact(slices.Sorted(slices.Values(results))); len(different) != 1 {
			t.Errorf("race %d: %d different answers", i, len(different))
		}
		if results[0] == token || results[0] == "invalid_token" {
			t.Errorf("race %d: %s", i, results[0])
		}
	})
	if n := d.count("select count(*) from refresh_tokens where session_id in (select session_id from refresh_tokens group by session_id having count(*) > 2)"); n != 0 {
		t.Errorf("%d tokens in sessions with a second successor", n)
	}
}

// openSession opens one for the admin and gives its refresh token.
func (d *desk) openSession(t testing.TB) string {
	t.Helper()
	id, token := newID(), newSecret()
	now := d.service.now()
	if err := insertSession(context.Background(), d.service.q, uuid.MustParse(d.admin.id), id, token, "", now); err != nil {
		t.Fatal(err)
	}
	return token.text()
}

func TestARefusedUserGetsInNeverAgainAfterTheAdminsAnswer(t *testing.T) {
	d := newDesk(t)
	_, _, other := d.replica(cheap)
	c := d.approved(RoleEngineer)
	rejected, suspended, approved := StatusRejected, StatusSuspended, StatusApproved
	engineer, customer := RoleEngineer, RoleCustomer
	ctx, anyVersion, admin := context.Background(), func(int32) bool { return true }, d.admin.principal()
	id := uuid.MustParse(c.id)
	change := func(ch Change) {
		if _, err := d.service.ChangeUser(ctx, admin, id, ch, anyVersion); err != nil {
			t.Fatal(err)
		}
	}
	urls := []string{d.url, other}
	accepted := 0
	for i := range races {
		token := d.accessFor(t, id)
		url := urls[i%2]
		switch i % 3 {
		case 0:
			change(Change{Status: &rejected})
		case 1:
			change(Change{Status: &suspended})
		case 2: // demoted: still in, but as somebody else
			change(Change{Role: &customer})
		}
		if a := d.callAt(url, "GET", "/v1/me", token, nil); i%3 != 2 && a.status != 401 || i%3 == 2 && a.str("role") != "customer" {
			accepted++
		}
		if i%3 == 2 {
			change(Change{Role: &engineer})
		} else {
			change(Change{Status: &approved})
		}
	}
	if accepted != 0 {
		t.Errorf("%d of %d requests were let in after the admin's answer", accepted, races)
	}
}

// accessFor gives a fresh access token of the user.
func (d *desk) accessFor(t testing.TB, userID uuid.UUID) string {
	t.Helper()
	id, refresh, now := newID(), newSecret(), d.service.now()
	if err := insertSession(context.Background(), d.service.q, userID, id, refresh, "", now); err != nil {
		t.Fatal(err)
	}
	g, err := d.service.grant(User{ID: userID}, id, now.Add(sessionTTL), refresh, now)
	if err != nil {
		t.Fatal(err)
	}
	return g.AccessToken
}

func TestOfFiftyAtOnceThroughTheDoorOneWins(t *testing.T) {
	d := newDesk(t)
	_, _, other := d.replica(cheap)
	second := d.approved(RoleAdmin)
	id, _ := d.register(RoleEngineer)
	won := map[int]int{}
	for _, a := range atOnce(50, func(i int) answer {
		url, token := []string{d.url, other}[i%2], []string{d.admin.access, second.access}[i/2%2]
		return d.callAt(url, "POST", "/v1/registrations/"+id+"/"+[]string{"approve", "reject"}[i%2], token, nil)
	}) {
		won[a.status]++
	}
	if won[200] != 1 || won[409] != 49 {
		t.Errorf("decisions by status: %v", won)
	}
	clear(won)
	for _, a := range atOnce(50, func(i int) answer {
		return d.callAt([]string{d.url, other}[i%2], "POST", "/v1/auth/register", "",
			map[string]any{"name": "Ada", "email": "the-same@desk.test", "password": goodPassword})
	}) {
		won[a.status]++
	}
	if won[201] != 1 || won[409] != 49 {
		t.Errorf("registrations by status: %v", won)
	}
	clear(won)
	for _, a := range atOnce(50, func(i int) answer {
		by, whom := d.admin, second
		if i%2 == 1 {
			by, whom = second, d.admin
		}
		return d.callAt([]string{d.url, other}[i/2%2], "PATCH", "/v1/users/"+whom.id, by.access, map[string]any{"role": "engineer"})
	}) {
		won[a.status]++
	}
	if n := d.count("select count(*) from users where role = 'admin' and status = 'approved'"); n != 1 {
		t.Errorf("%d admins are left; by status: %v", n, won)
	}
}

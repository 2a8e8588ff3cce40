package identity

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/errs"
)

// races is how often each race runs.
var races = trials.Count(25, 200)

// inRaces runs f for each of the races, a few side by side.
func inRaces(f func(i int)) {
	concurrently(8, func(worker int) struct{} {
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

// oneWins reports whether exactly one of the outcomes is ok and the others are
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

func TestConcurrentDecisionsHaveOneWinner(t *testing.T) {
	env := newTestEnv(t)
	admins := []Principal{env.admin.principal(), env.approved(RoleAdmin).principal()}
	ctx := context.Background()
	var applicants []uuid.UUID
	for i := range races {
		applicants = append(applicants, env.insertUser(t, fmt.Sprintf("race-%d@fixdesk.test", i), RoleAdmin, StatusPending))
	}
	inRaces(func(i int) {
		outcomes := concurrently(4, func(n int) string {
			if n%2 == 0 {
				_, err := env.service.Approve(ctx, admins[n/2], applicants[i])
				return codeOf(err)
			}
			_, err := env.service.Reject(ctx, admins[n/2], applicants[i], "no")
			return codeOf(err)
		})
		if !oneWins(outcomes, "already_decided") {
			t.Errorf("race %d: %v", i, outcomes)
		}
	})
	if n := env.count("select count(*) from outbox where kind = 'registration_decided'"); n != races+1 {
		t.Errorf("%d applicants were notified, want %d", n, races+1)
	}
	if n := env.count("select count(*) from users u join registrations r on r.user_id = u.id where (u.status = 'rejected') <> coalesce(r.reason = 'no', false)"); n != 0 {
		t.Errorf("%d registrations with half of each decision", n)
	}
}

// insertUser creates an account directly in the database.
func (env *testEnv) insertUser(t testing.TB, email string, role Role, status Status) uuid.UUID {
	t.Helper()
	id := newID()
	if _, err := env.pool.Exec(context.Background(),
		`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		 values ($1, 'Test User', $2, $2, '', $3, $4, now(), now())`, id, email, role, status); err != nil {
		t.Fatal(err)
	}
	if status == StatusPending {
		if _, err := env.pool.Exec(context.Background(), "insert into registrations (user_id, created_at) values ($1, now())", id); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

func TestTwoAdminsWhoDemoteEachOtherHaveOneWinner(t *testing.T) {
	env := newTestEnv(t)
	a := env.admin.principal()
	b := env.approved(RoleAdmin).principal()
	ctx, anyVersion := context.Background(), func(int32) bool { return true }
	changes := []func() Change{
		func() Change { r := RoleCustomer; return Change{Role: &r} },
		func() Change { s := StatusSuspended; return Change{Status: &s} },
		func() Change { s := StatusRejected; return Change{Status: &s} },
	}
	for i := range races {
		change := changes[i%len(changes)]()
		outcomes := concurrently(2, func(n int) string {
			who, whom := a, b
			if n == 1 {
				who, whom = b, a
			}
			_, err := env.service.ChangeUser(ctx, who, whom.UserID, change, anyVersion)
			return codeOf(err)
		})
		if !oneWins(outcomes, "last_admin") {
			t.Fatalf("race %d: %v", i, outcomes)
		}
		if n := env.count("select count(*) from users where role = 'admin' and status = 'approved'"); n != 1 {
			t.Fatalf("race %d: %d admins left", i, n)
		}
		if _, err := env.pool.Exec(ctx, "update users set role = 'admin', status = 'approved' where id in ($1, $2)", a.UserID, b.UserID); err != nil {
			t.Fatal(err)
		}
	}
}

// The control: without the lock both succeed, so that the test above can fail.
func TestControlWithoutTheLockBothAdminsAreDemoted(t *testing.T) {
	env := newTestEnv(t)
	ids := []uuid.UUID{env.admin.principal().UserID, env.insertUser(t, "second@fixdesk.test", RoleAdmin, StatusApproved)}
	ctx := context.Background()
	var bothLooked sync.WaitGroup
	bothLooked.Add(2)
	outcomes := concurrently(2, func(n int) error {
		tx, err := env.pool.Begin(ctx)
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
	if outcomes[0] != nil || outcomes[1] != nil || env.count("select count(*) from users where role = 'admin'") != 0 {
		t.Errorf("the control doesn't fail: %v", outcomes)
	}
}

func TestConcurrentRegistrationsOfOneAddressHaveOneWinner(t *testing.T) {
	env := newTestEnv(t)
	ctx := context.Background()
	inRaces(func(i int) {
		outcomes := concurrently(3, func(n int) string {
			email := fmt.Sprintf("Race-%d@Fixdesk.test", i)
			if n%2 == 0 {
				email = fmt.Sprintf("race-%d@fixdesk.TEST", i)
			}
			err := env.service.create(ctx, env.newUser(email, RoleEngineer), goodPassword, auditRegistered)
			return codeOf(err)
		})
		if !oneWins(outcomes, "email_taken") {
			t.Errorf("race %d: %v", i, outcomes)
		}
	})
	if n := env.count("select count(*) from outbox where kind = 'registration_waiting'"); n != races {
		t.Errorf("%d notices of %d registrations", n, races)
	}
}

func (env *testEnv) newUser(email string, role Role) User {
	now := env.service.now()
	return User{ID: newID(), Name: "Racer", Email: normalAddress(email), Role: role, Status: initialStatus(role), Version: 1, CreatedAt: now, UpdatedAt: now}
}

func TestConcurrentRefreshesOfOneTokenHaveOneSuccessor(t *testing.T) {
	env := newTestEnv(t)
	ctx := context.Background()
	inRaces(func(i int) {
		token := env.openSession(t)
		results := concurrently(4, func(int) string {
			grant, err := env.service.Refresh(ctx, token, "")
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
	if n := env.count("select count(*) from refresh_tokens where session_id in (select session_id from refresh_tokens group by session_id having count(*) > 2)"); n != 0 {
		t.Errorf("%d tokens in sessions with a second successor", n)
	}
}

// openSession opens a session of the admin and returns its refresh token.
func (env *testEnv) openSession(t testing.TB) string {
	t.Helper()
	id, token := newID(), newSecret()
	now := env.service.now()
	if err := insertSession(context.Background(), env.service.q, uuid.MustParse(env.admin.id), id, token, "", now); err != nil {
		t.Fatal(err)
	}
	return token.text()
}

func TestSuspendedUsersTokenIsRefusedAfterTheAdminsAnswer(t *testing.T) {
	env := newTestEnv(t)
	_, _, other := env.replica(cheap)
	c := env.approved(RoleEngineer)
	rejected, suspended, approved := StatusRejected, StatusSuspended, StatusApproved
	engineer, customer := RoleEngineer, RoleCustomer
	ctx, anyVersion, admin := context.Background(), func(int32) bool { return true }, env.admin.principal()
	id := uuid.MustParse(c.id)
	change := func(ch Change) {
		if _, err := env.service.ChangeUser(ctx, admin, id, ch, anyVersion); err != nil {
			t.Fatal(err)
		}
	}
	urls := []string{env.url, other}
	accepted := 0
	for i := range races {
		token := env.accessFor(t, id)
		url := urls[i%2]
		switch i % 3 {
		case 0:
			change(Change{Status: &rejected})
		case 1:
			change(Change{Status: &suspended})
		case 2: // demoted: signed in with another role
			change(Change{Role: &customer})
		}
		if a := env.callAt(url, "GET", "/v1/me", token, nil); i%3 != 2 && a.status != 401 || i%3 == 2 && a.str("role") != "customer" {
			accepted++
		}
		if i%3 == 2 {
			change(Change{Role: &engineer})
		} else {
			change(Change{Status: &approved})
		}
	}
	if accepted != 0 {
		t.Errorf("%d of %d requests were accepted after the admin's answer", accepted, races)
	}
}

// accessFor returns a new access token of the user.
func (env *testEnv) accessFor(t testing.TB, userID uuid.UUID) string {
	t.Helper()
	id, refresh, now := newID(), newSecret(), env.service.now()
	if err := insertSession(context.Background(), env.service.q, userID, id, refresh, "", now); err != nil {
		t.Fatal(err)
	}
	g, err := env.service.grant(User{ID: userID}, id, now.Add(SessionTTL), refresh, now)
	if err != nil {
		t.Fatal(err)
	}
	return g.AccessToken
}

func TestFiftyConcurrentRequestsHaveOneWinner(t *testing.T) {
	env := newTestEnv(t)
	_, _, other := env.replica(cheap)
	second := env.approved(RoleAdmin)
	id, _ := env.register(RoleEngineer)
	won := map[int]int{}
	for _, a := range concurrently(50, func(i int) answer {
		url, token := []string{env.url, other}[i%2], []string{env.admin.access, second.access}[i/2%2]
		return env.callAt(url, "POST", "/v1/registrations/"+id+"/"+[]string{"approve", "reject"}[i%2], token, nil)
	}) {
		won[a.status]++
	}
	if won[200] != 1 || won[409] != 49 {
		t.Errorf("decisions by status: %v", won)
	}
	clear(won)
	for _, a := range concurrently(50, func(i int) answer {
		return env.callAt([]string{env.url, other}[i%2], "POST", "/v1/auth/register", "",
			map[string]any{"name": "Ada", "email": "the-same@fixdesk.test", "password": goodPassword})
	}) {
		won[a.status]++
	}
	if won[201] != 1 || won[409] != 49 {
		t.Errorf("registrations by status: %v", won)
	}
	clear(won)
	for _, a := range concurrently(50, func(i int) answer {
		by, whom := env.admin, second
		if i%2 == 1 {
			by, whom = second, env.admin
		}
		return env.callAt([]string{env.url, other}[i/2%2], "PATCH", "/v1/users/"+whom.id, by.access, map[string]any{"role": "engineer"})
	}) {
		won[a.status]++
	}
	if n := env.count("select count(*) from users where role = 'admin' and status = 'approved'"); n != 1 {
		t.Errorf("%d admins are left; by status: %v", n, won)
	}
}

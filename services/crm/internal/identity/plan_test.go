package identity

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
)

// TestSearchOfManyUsersReadsFew is about 16,000 users, of which one in ten is an
// engineer and one in 1,600 has a rare name.
func TestSearchOfManyUsersReadsFew(t *testing.T) {
	trials.Long(t)
	env := newTestEnv(t)
	const users = 16_000
	for _, sql := range []string{
		`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
			select gen_random_uuid(), name, email, name || ' ' || email, 'x', case when n % 10 = 0 then 'engineer' else 'customer' end::user_role, 'approved', at, at
			from (select n, case when n % 1600 = 17 then 'zacharias' else 'anna' end || ' number' || n as name,
				'user' || n || '@customer.example' as email, now() - n * interval '1 second' as at from generate_series(1, 16000) n) u`,
		`vacuum analyze users`,
	} {
		if _, err := env.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	most := func(f UserFilter, want int) (n int, plan string) {
		for _, p := range pgtest.PlansOf(t, env.pool, func(pool *pgxpool.Pool) {
			s := New(Config{Pool: pool, Now: env.clock.now, HashCost: cheap, Log: env.service.Log})
			found, err := s.Users(t.Context(), f, nil, 21)
			if err != nil || len(found) != want {
				t.Errorf("%+v finds %d users, want %d: %v", f, len(found), want, err)
			}
		}) {
			if read := pgtest.MostRead(p); read >= n {
				n, plan = read, strings.Join(p, "\n")
			}
		}
		return n, plan
	}
	for _, c := range []struct {
		filter UserFilter
		found  int
	}{
		{UserFilter{}, 21}, {UserFilter{Role: RoleEngineer}, 21}, {UserFilter{Status: StatusApproved}, 21},
		{UserFilter{Q: "Zacharias"}, 10}, {UserFilter{Q: "user4711@customer.example"}, 1}, {UserFilter{Q: "anna"}, 21},
		{UserFilter{Q: "zacharias", Role: RoleCustomer}, 10}, {UserFilter{Q: "nobody at all"}, 0},
	} {
		if n, plan := most(c.filter, c.found); n > users/10 {
			t.Errorf("%+v reads %d rows:\n%s", c.filter, n, plan)
		}
	}
	// The control: without its index the search reads all users.
	if _, err := env.pool.Exec(t.Context(), "drop index users_search"); err != nil {
		t.Fatal(err)
	}
	if n, _ := most(UserFilter{Q: "zacharias"}, 10); n < users {
		t.Errorf("%d rows are read without the index: the test can't fail", n)
	}
}

// The control: with PostgreSQL's default for the cost of a page, all sessions are read for
// each that is asked for.
func TestSessionAmongAFewHundredIsReadByItsKey(t *testing.T) {
	env := newTestEnv(t)
	const sessions = 250
	for _, sql := range []string{
		`insert into sessions (id, user_id, created_at, expires_at, used_at)
			select gen_random_uuid(), u.id, now(), now() + interval '1 day', now() from users u, generate_series(1, 250)`,
		`vacuum analyze sessions`,
	} {
		if _, err := env.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	read := func(pool *pgxpool.Pool) (rows int, plan string) {
		var ids []uuid.UUID
		if err := pool.QueryRow(t.Context(), "select array_agg(id) from (select id from sessions limit 4) s").Scan(&ids); err != nil {
			t.Fatal(err)
		}
		for _, p := range pgtest.PlansOf(t, pool, func(pool *pgxpool.Pool) {
			if found, err := env.service.readPrincipals(t.Context(), pool, ids); err != nil || len(found) != len(ids) {
				t.Errorf("%d of %d sessions are found: %v", len(found), len(ids), err)
			}
		}) {
			if n := pgtest.MostRead(p); n >= rows {
				rows, plan = n, strings.Join(p, "\n")
			}
		}
		return rows, plan
	}
	if rows, plan := read(env.pool); rows > 10 {
		t.Errorf("%d rows are read for 4 sessions:\n%s", rows, plan)
	}
	config := env.pool.Config()
	config.ConnConfig.RuntimeParams["random_page_cost"] = "4"
	byDefault, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer byDefault.Close()
	if rows, _ := read(byDefault); rows < sessions {
		t.Errorf("%d rows are read with the default: the test can't fail", rows)
	}
}

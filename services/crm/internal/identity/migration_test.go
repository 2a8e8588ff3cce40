package identity

import (
	"io/fs"
	"log/slog"
	"testing"
	"testing/fstest"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestMigrationKeepsTheAuditAndPeopleOfTheFirstRelease(t *testing.T) {
	t.Parallel()
	first := fstest.MapFS{}
	for _, name := range []string{"00001_identity.sql", "00002_ticket.sql", "00003_outbox.sql"} {
		data, err := fs.ReadFile(db.CRM, "crm/migrations/"+name)
		if err != nil {
			t.Fatal(err)
		}
		first["crm/migrations/"+name] = &fstest.MapFile{Data: data}
	}
	pool := pgtest.New(t, first, "crm/migrations")
	env := &testEnv{t: t, pool: pool}
	env.exec(`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		select gen_random_uuid(), n, n || '@fixdesk.test', n, 'x', r::user_role, s::user_status, now(), now()
		from (values ('customer', 'customer', 'approved'), ('reset', 'customer', 'approved'),
			('engineer', 'engineer', 'approved'), ('pending', 'engineer', 'pending')) v (n, r, s)`)
	env.exec(`insert into audit_events (id, kind, actor_id, object_id, after, created_at)
		select gen_random_uuid(), 'password_reset', id, id, '{"name":"reset"}', now() - i * interval '20 days'
		from users, generate_series(0, 9) i where name = 'reset'`)
	if err := pg.Migrate(t.Context(), pool, db.CRM, "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if n := env.count("select count(*) from audit_events"); n != 10 {
		t.Errorf("%d audit events of 10", n)
	}
	if n := env.count("select count(*) from users where (email_verified_at is not null) = (name in ('reset', 'engineer'))"); n != 4 {
		t.Errorf("%d of 4 people are verified as they should be", n)
	}
	// The statements of an older binary succeed.
	env.exec(`insert into audit_events (id, kind, created_at) values (gen_random_uuid(), 'login_failed', now())`)
	env.exec(`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		values (gen_random_uuid(), 'new', 'new@fixdesk.test', 'new', 'x', 'customer', 'approved', now(), now())`)
}

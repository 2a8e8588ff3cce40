package app_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/trials"
)

// ownPostgres starts a server whose data survive a crash, unlike pgtest's, and
// returns it with a function that starts it again.
func ownPostgres(t *testing.T) (server *pgserver.Server, restart func() *pgserver.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fixdesk-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	begin := func() *pgserver.Server {
		s, err := pgserver.Start(context.Background(), pgserver.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	current := begin()
	t.Cleanup(func() {
		if err := current.Stop(context.Background()); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return current, func() *pgserver.Server {
		current = begin()
		return current
	}
}

func createDatabase(t *testing.T, s *pgserver.Server) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "create database notification"); err != nil {
		t.Fatal(err)
	}
	return s.URL("notification")
}

// databaseTrial stops the database under load, with mails on the wire, starts
// it again, and returns what went wrong. fault is SQL that runs on the database
// first and disables a safeguard; it may be empty.
func databaseTrial(t *testing.T, fault string) (wrong []string) {
	t.Helper()
	server, restart := ownPostgres(t)
	url := createDatabase(t, server)
	hook, held, releaseMails := heldMails(100)
	smtp := startSMTP(t, hook)
	t.Cleanup(releaseMails)
	i := newIssuer(t)
	c := testConfig(url, i.url, smtp.Addr())
	c.Lease = databaseLease
	s := start(t, i, c)
	execute(t, url, fault)
	l := startLoad(4, "db", s.Client)
	eventually(t, "mails are on the wire", func() bool { return held() == c.SMTPConnections })
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	releaseMails()
	eventually(t, "requests are refused", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.refused) > 3
	})
	restart()
	before := len(smtp.Messages())
	smtp.Wait(t, before+50, waitLimit)
	l.stop()
	drained(t, url, waitLimit)
	t.Logf("acknowledged %d, refused meanwhile %d", len(l.acked), len(l.refused))
	for _, err := range l.broken {
		wrong = append(wrong, fmt.Sprintf("a request got no answer: %v", err))
	}
	wrong = append(wrong, badRefusals(l.refused)...)
	return append(wrong, notOnceEach(l.acked, smtp.Messages())...)
}

// databaseLease is far longer than the database is away, so that no lease expires
// meanwhile; its mail would be sent again, as it should.
const databaseLease = 2 * time.Minute

func TestDatabaseOutageUnderLoadDelaysMailsAndLosesNone(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	report(t, databaseTrial(t, ""))
}

// resultsForgotten drops the results of mails that were claimed before the
// database was started, like a service that discards results when the database
// is unavailable.
const resultsForgotten = `
create table claims (token uuid primary key, server_started timestamptz not null);
create function note_claim() returns trigger language plpgsql as $$
begin
    insert into claims values (new.lease_token, pg_postmaster_start_time()) on conflict do nothing;
    return null;
end $$;
create trigger note_claim after update on recipients for each row
    when (old.lease_token is null and new.lease_token is not null) execute function note_claim();
create function forget_result() returns trigger language plpgsql as $$
begin
    if exists (select from claims where token = old.lease_token and server_started < pg_postmaster_start_time()) then
        new.status := 'queued'; new.finished_at := null; new.queue_at := new.next_attempt_at;
    end if;
    return new;
end $$;
create trigger forget_result before update on recipients for each row
    when (old.lease_token is not null and new.lease_token is null) execute function forget_result();`

func TestControlDatabaseOutageWithForgottenResultsDoublesMails(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	mustFind(t, databaseTrial(t, resultsForgotten), "got 2 mails")
}

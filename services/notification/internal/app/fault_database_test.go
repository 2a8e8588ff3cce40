package app_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pgserver"
)

// ownPostgres starts a server that survives a crash, unlike pgtest's, and
// gives it with how to start it again.
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

func TestDatabaseThatStopsUnderLoadCostsWaitingAndNoMail(t *testing.T) {
	server, restart := ownPostgres(t)
	url := createDatabase(t, server)
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	c := testConfig(url, i.url, smtp.Addr())
	c.Lease = 10 * time.Second
	s := start(t, i, c)
	l := startLoad(4, "db", s.Client)
	smtp.Wait(t, 100, 30*time.Second)
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "requests are refused", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.refused) > 3
	})
	restart()
	before := len(smtp.Messages())
	smtp.Wait(t, before+50, 30*time.Second)
	l.stop()
	drained(t, url, 30*time.Second)
	for _, err := range l.refused {
		var answer *notifyapi.Error
		if errors.As(err, &answer) && (answer.Status != 503 || answer.RetryAfter == 0) {
			t.Errorf("answered %v, want 503 with Retry-After", err)
		}
	}
	if len(l.broken) > 0 {
		t.Errorf("%d requests got no answer, the first: %v", len(l.broken), l.broken[0])
	}
	got := counts(smtp.Messages())
	for email := range l.acked {
		if got[email] != 1 {
			t.Errorf("%s got %d mails", email, got[email])
		}
	}
	t.Logf("acknowledged %d, refused meanwhile %d", len(l.acked), len(l.refused))
}

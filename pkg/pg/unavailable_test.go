package pg_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestTemporaryErrorsAreUnavailableAndOthersAreNot(t *testing.T) {
	pool := pgtest.New(t, none, "m")
	mustExec(t, pool, "create table locked (n int)")
	for name, test := range map[string]struct {
		sql        string
		want, away bool
	}{
		"statement timeout":  {"set local statement_timeout = 20; select pg_sleep(10)", true, false},
		"lock timeout":       {"set local lock_timeout = 20; lock table locked", true, false},
		"read-only standby":  {"set local transaction_read_only = on; create table x ()", true, true},
		"disk full":          {"do $$ begin raise sqlstate '53100'; end $$", true, true},
		"server stops":       {"do $$ begin raise sqlstate '57P01'; end $$", true, true},
		"a defect in SQL":    {"select nonsense", false, false},
		"a refused value":    {"select 1/0", false, false},
		"permission refused": {"do $$ begin raise sqlstate '42501'; end $$", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			holder, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Rollback(context.Background())
			if _, err := holder.Exec(t.Context(), "lock table locked"); err != nil {
				t.Fatal(err)
			}
			_, err = pool.Exec(t.Context(), test.sql, pgx.QueryExecModeSimpleProtocol)
			if err == nil || pg.Unavailable(err) != test.want {
				t.Errorf("unavailable %t, want %t: %v", pg.Unavailable(err), test.want, err)
			}
			if pg.Late(err) != (name == "statement timeout") {
				t.Errorf("late %t: %v", pg.Late(err), err)
			}
			if pg.Away(err) != test.away || pg.ConnectionLost(err) {
				t.Errorf("away %t, want %t, connection lost %t: %v", pg.Away(err), test.away, pg.ConnectionLost(err), err)
			}
		})
	}
	if err := pg.Retry(t.Context(), func() error { return pg.ErrRetry }); !pg.Unavailable(err) {
		t.Errorf("a race lost ten times: %v", err)
	}
	if pg.Unavailable(nil) || pg.Unavailable(context.Canceled) || pg.Unavailable(pgx.ErrNoRows) {
		t.Error("no error, a client that left, or no row is taken for an unavailable database")
	}
}

func TestNoServerAndAClosedOrExhaustedPoolAreUnavailable(t *testing.T) {
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	nobody := open(t, "postgres://nobody@"+address+"/x", pg.Config{})
	if err := ping(t, nobody); err == nil || !pg.Unavailable(err) || !pg.Away(err) {
		t.Errorf("connection refused: %v", err)
	}

	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{MaxConns: 1, AcquireTimeout: 100 * time.Millisecond})
	var only *pgxpool.Conn
	waitFor(t, func() bool { // the control; a busy machine connects slowly
		only, err = pool.Acquire(t.Context())
		return err == nil
	})
	if err := ping(t, pool); !pg.Unavailable(err) {
		t.Errorf("exhausted pool: %v", err)
	}
	only.Release()
	pool.Close()
	if err := ping(t, pool); !pg.Unavailable(err) {
		t.Errorf("closed pool: %v", err)
	}
}

func TestKilledServerIsUnavailableUntilItRuns(t *testing.T) {
	dir, err := os.MkdirTemp("", "pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := pgserver.Options{Dir: filepath.Join(dir, "pg"), Test: true}
	server, err := pgserver.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	pool := open(t, server.URL("postgres"), pg.Config{})
	running := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), "select pg_sleep(60)", pgx.QueryExecModeSimpleProtocol)
		running <- err
	}()
	waitFor(t, func() bool {
		var n int
		err := pool.QueryRow(t.Context(), "select count(*) from pg_stat_activity where query like 'select pg_sleep%'").Scan(&n)
		return err == nil && n == 1
	})
	if err := syscall.Kill(server.Pid(), syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if err := <-running; !pg.Unavailable(err) {
		t.Errorf("in the middle of a statement: %v", err)
	}
	<-server.Done()
	_ = server.Stop(t.Context())
	if err := ping(t, pool); !pg.Unavailable(err) {
		t.Errorf("while it is away: %v", err)
	}
	if server, err = pgserver.Start(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	waitFor(t, func() bool { return ping(t, pool) == nil })
}

func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within 4 minutes")
		}
	}
}

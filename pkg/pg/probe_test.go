package pg_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

// ping acquires a connection of the pool and runs a statement.
func ping(t *testing.T, pool *pgxpool.Pool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return pool.Ping(ctx)
}

// probeEachTime makes a probe that doesn't reuse results.
func probeEachTime(pool *pgxpool.Pool) *pg.Probe {
	var seconds atomic.Int64
	return pg.NewProbe(pool, func() time.Time { return time.Unix(seconds.Add(1), 0) })
}

func TestExhaustedPoolIsBusyAndTheDatabaseStillReady(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{MaxConns: 1, AcquireTimeout: 100 * time.Millisecond})
	var only *pgxpool.Conn
	waitFor(t, func() (connected bool) { // a busy machine connects slowly
		var err error
		only, err = pool.Acquire(t.Context())
		return err == nil
	})
	began := time.Now()
	_, err := pool.Exec(t.Context(), "select 1")
	if took := time.Since(began); !pg.Unavailable(err) || took < 90*time.Millisecond {
		t.Errorf("after %s: %v", took, err)
	}
	if err := probeEachTime(pool).Ready(t.Context()); err != nil {
		t.Errorf("an exhausted pool makes the database not ready: %v", err)
	}
	only.Release()
	if _, err := pool.Exec(t.Context(), "select 1"); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestReadOnlyDatabaseIsNotReadyAndItsConnectionsAreDropped(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{MaxConns: 2})
	mustExec(t, pool, "create table written (n int)")
	probe := probeEachTime(pool)
	if err := probe.Ready(t.Context()); err != nil {
		t.Fatalf("control: %v", err)
	}
	name := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()
	mustExec(t, pool, "alter database "+name+" set default_transaction_read_only = on")
	if err := probe.Ready(t.Context()); !errors.Is(err, pg.ErrReadOnly) || !pg.Unavailable(err) {
		t.Errorf("a read-only database: %v", err)
	}
	pool.Reset() // as if the server had been replaced
	both := [2]*pgxpool.Conn{}
	for i := range both {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		both[i] = conn
	}
	if both[1].Release(); pool.Stat().TotalConns() != 2 {
		t.Fatalf("control: %d connections", pool.Stat().TotalConns())
	}
	_, err := both[0].Exec(t.Context(), "insert into written values (1)")
	if !pg.Unavailable(err) {
		t.Errorf("a write: %v", err)
	}
	both[0].Release()
	waitFor(t, func() bool { return pool.Stat().TotalConns() == 0 }) // the idle one, too
	if _, err = pool.Exec(t.Context(), "select nonsense"); err == nil || pool.Stat().TotalConns() != 1 {
		t.Errorf("control: %v, %d connections", err, pool.Stat().TotalConns())
	}
	mustExec(t, pool, "set default_transaction_read_only = off") // of its one connection
	mustExec(t, pool, "alter database "+name+" reset default_transaction_read_only")
	if err := probe.Ready(t.Context()); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

func TestFrozenServerIsNotReadyAndItsCallsAndTheCloseOfThePoolAreBounded(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(t.Context(), pgserver.Options{Dir: filepath.Join(dir, "pg"), Test: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop(context.Background()) }()
	pool := open(t, server.URL("postgres"), pg.Config{MaxConns: 1, CallTimeout: 8 * time.Second})
	probe := probeEachTime(pool)
	if err := errors.Join(ping(t, pool), probe.Ready(t.Context())); err != nil {
		t.Fatalf("control: %v", err)
	}
	var backend int
	if err := pool.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&backend); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{server.Pid(), backend} {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	if _, err := pool.Exec(context.Background(), "select 1"); !pg.Unavailable(err) {
		t.Errorf("a call: %v", err)
	}
	if err := probe.Ready(t.Context()); !pg.Unavailable(err) {
		t.Errorf("a frozen server: %v", err)
	}
	began := time.Now()
	pg.Close(pool, 200*time.Millisecond)
	if took := time.Since(began); took > 30*time.Second { // without a limit it would not end
		t.Errorf("closing took %s", took)
	}
}

func TestEachCallOfAFrozenServerHasADeadline(t *testing.T) {
	t.Parallel()
	forEachCall := map[string]func(context.Context, pgx.Tx) error{
		"exec":  func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "select 1"); return err },
		"query": func(ctx context.Context, tx pgx.Tx) error { var n int; return tx.QueryRow(ctx, "select 1").Scan(&n) },
		"batch": func(ctx context.Context, tx pgx.Tx) error {
			batch := &pgx.Batch{}
			batch.Queue("select 1")
			return tx.SendBatch(ctx, batch).Close()
		},
		"copy": func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "copied"}, []string{"n"}, pgx.CopyFromRows([][]any{{1}}))
			return err
		},
		"commit": func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) },
	}
	url := pgtest.NewURL(t, none, "m")
	for name, call := range forEachCall {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxied, freeze := pgtest.Freezable(t, url)
			pool, err := pg.Open(t.Context(), proxied, pg.Config{CallTimeout: 8 * time.Second, AcquireTimeout: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer pg.Close(pool, 0)
			prepare := func() pgx.Tx {
				tx, err := pool.Begin(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec(context.Background(), "create temporary table if not exists copied (n int)"); err != nil {
					t.Fatal(err)
				}
				return tx
			}
			tx := prepare()
			if err := call(context.Background(), tx); err != nil {
				t.Fatalf("control: %v", err)
			}
			_ = tx.Rollback(context.Background())
			tx = prepare()
			freeze()
			began := time.Now()
			err = call(context.Background(), tx) // a context without a deadline
			if took := time.Since(began); !pg.Unavailable(err) || took < time.Second {
				t.Errorf("after %s: %v", took, err)
			}
			_ = tx.Rollback(context.Background())
		})
	}
}

func TestExclusiveRunOnAFrozenServerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	proxied, freeze := pgtest.Freezable(t, pgtest.NewURL(t, none, "m"))
	pool, err := pg.Open(t.Context(), proxied, pg.Config{CallTimeout: 10 * time.Minute, AcquireTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close(pool, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	ran, err := pg.Exclusive(pool)(ctx, "job", func(ctx context.Context) error {
		freeze()
		cancel()
		return ctx.Err()
	})
	if took := time.Since(began); !ran || !errors.Is(err, context.Canceled) || took > 5*time.Minute { // a call may take ten
		t.Errorf("ran: %v, after %s: %v", ran, took, err)
	}
}

func TestCallTimeoutFollowsTheStatementTimeout(t *testing.T) {
	for setting, want := range map[string]time.Duration{
		"5000": 10 * time.Second, "9s": 14 * time.Second, "700ms": 5700 * time.Millisecond,
		"0": time.Minute, "": time.Minute, "2min": time.Minute,
	} {
		if got := pg.CallTimeout(setting); got != want {
			t.Errorf("statement_timeout %q: %s, want %s", setting, got, want)
		}
	}
}

package pg_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

// withMigration returns a database with the table busy, and a second migration.
func withMigration(t *testing.T, sql string) (*pgxpool.Pool, fstest.MapFS) {
	t.Helper()
	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{LockTimeout: 50 * time.Millisecond})
	mustExec(t, pool, "create table busy (n int)")
	return pool, fstest.MapFS{"m/00001_none.sql": none["m/00001_none.sql"], "m/00002_new.sql": {Data: []byte(sql)}}
}

// hold runs sql in a transaction that stays open until release is called.
func hold(t *testing.T, pool *pgxpool.Pool, sql string) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release = func() { _ = tx.Rollback(context.Background()) }
	t.Cleanup(release)
	if _, err := tx.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return release
}

func TestMigrationOfABusyTableWaitsUntilItIsFree(t *testing.T) {
	t.Parallel()
	pool, files := withMigration(t, "-- +goose Up\nalter table busy add column m int;\n")
	release := hold(t, pool, "select from busy") // as any reader does
	if _, err := pool.Exec(t.Context(), "alter table busy add column m int"); !pg.Unavailable(err) {
		t.Fatalf("control: one try must fail while the table is in use: %v", err)
	}
	var output lockedBuffer
	migrated := make(chan error, 1)
	go func() {
		migrated <- pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.NewTextHandler(&output, nil)))
	}()
	waitFor(t, func() bool { return strings.Contains(output.String(), "table in use") })
	release()
	if err := <-migrated; err != nil {
		t.Error(err)
	}
	if got := output.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "migration applied") != 1 {
		t.Errorf("log:\n%s", got)
	}
	mustExec(t, pool, "insert into busy (m) values (1)")
}

func TestMigrationReplacesTheInvalidIndexOfAFailedTry(t *testing.T) {
	t.Parallel()
	const index = "create unique index concurrently busy_n on busy (n)"
	for name, statement := range map[string]string{
		"plain": index, "if not exists": strings.Replace(index, "busy_n", "if not exists busy_n", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, files := withMigration(t, "-- +goose NO TRANSACTION\n-- +goose Up\n"+statement+";\n")
			release := hold(t, pool, "insert into busy values (1)")
			if _, err := pool.Exec(t.Context(), index); !pg.Unavailable(err) {
				t.Fatalf("the index can't wait for the open transaction, but: %v", err)
			}
			release()
			if valid := indexIsValid(t, pool); valid {
				t.Fatal("control: no invalid index was left")
			}
			if _, err := pool.Exec(t.Context(), index); err == nil {
				t.Fatal("control: the statement must fail on the invalid index")
			}
			if err := pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			if !indexIsValid(t, pool) {
				t.Error("the index is still invalid")
			}
		})
	}
}

func TestMigrationThatBuildsAnIndexWaitsForOpenTransactions(t *testing.T) {
	t.Parallel()
	pool, files := withMigration(t, "-- +goose NO TRANSACTION\n-- +goose Up\ncreate index concurrently busy_n on busy (n);\n")
	release := hold(t, pool, "insert into busy values (1)")
	var output lockedBuffer
	migrated := make(chan error, 1)
	go func() {
		migrated <- pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.NewTextHandler(&output, nil)))
	}()
	waitFor(t, func() bool { return strings.Contains(output.String(), "table in use") })
	release()
	if err := <-migrated; err != nil {
		t.Error(err)
	}
	if !indexIsValid(t, pool) {
		t.Error("the index is invalid")
	}
}

func TestInvalidIndexThatNoPendingMigrationBuildsStays(t *testing.T) {
	t.Parallel()
	pool, files := withMigration(t, "-- +goose Up\nselect 1;\n")
	release := hold(t, pool, "insert into busy values (1)")
	if _, err := pool.Exec(t.Context(), "create index concurrently busy_n on busy (n)"); err == nil {
		t.Fatal("the index must fail")
	}
	release()
	if err := pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if indexIsValid(t, pool) {
		t.Error("an index of another origin was dropped")
	}
}

// indexIsValid reports whether the index busy_n, which must exist, is valid.
func indexIsValid(t *testing.T, pool *pgxpool.Pool) (valid bool) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "select indisvalid from pg_index where indexrelid = 'busy_n'::regclass").Scan(&valid); err != nil {
		t.Fatal(err)
	}
	return valid
}

func TestRetryOfAMigrationIsBounded(t *testing.T) {
	locked := error(&pgconn.PgError{Code: "55P03"})
	other := errors.New("syntax error")
	synctest.Test(t, func(t *testing.T) {
		var output lockedBuffer
		log := slog.New(slog.NewTextHandler(&output, nil))
		tries, start := 0, time.Now()
		err := pg.RetryLocked(t.Context(), time.Minute, log, func() error { tries++; return locked })
		if !errors.Is(err, locked) || time.Since(start) != time.Minute || tries < 8 || tries > 14 {
			t.Errorf("%d tries in %s: %v", tries, time.Since(start), err)
		}
		if n := strings.Count(output.String(), "\n"); n != 1 {
			t.Errorf("%d log lines:\n%s", n, output.String())
		}
		tries = 0
		if err := pg.RetryLocked(t.Context(), time.Minute, log, func() error { tries++; return other }); tries != 1 || !errors.Is(err, other) {
			t.Errorf("%d tries of what can't succeed: %v", tries, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := pg.RetryLocked(ctx, time.Hour, log, func() error { return locked }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a canceled wait: %v", err)
		}
	})
}

package pg_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestFilledPoolHasOnlyConnectionsThatRanTheStatementsWithoutEffect(t *testing.T) {
	t.Parallel()
	const size = 4
	var runs atomic.Int32
	warmup := pg.NewWarmup(
		func(context.Context, pgx.Tx) error { return errors.New("one that fails stops no other") },
		func(ctx context.Context, tx pgx.Tx) error {
			runs.Add(1)
			_, err := tx.Exec(ctx, "insert into written values (1)")
			return err
		})
	pool := open(t, pgtest.NewURL(t, none, "m"), pg.Config{MaxConns: size, Warmup: warmup})
	mustExec(t, pool, "create table written (n int)")
	if n := runs.Load(); n != 0 {
		t.Fatalf("control: %d runs before the pool is filled", n)
	}
	if err := warmup.Fill(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if n, total := runs.Load(), pool.Stat().TotalConns(); n != size || total != size {
		t.Errorf("%d runs, %d connections", n, total)
	}
	var rows int
	if err := pool.QueryRow(t.Context(), "select count(*) from written").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows: %v", rows, err)
	}
	pool.Reset() // as after a failover
	if err := ping(t, pool); err != nil || runs.Load() <= size {
		t.Errorf("a later connection: %v, %d runs", err, runs.Load())
	}
}

package assignment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

// Sweeper gives waiting tickets to engineers: those that a join left over, and
// those that were raised in the very moment an engineer joined.
type Sweeper struct {
	pool     *pgxpool.Pool
	now      func() time.Time
	interval time.Duration
	log      *slog.Logger
	told     func()
}

// NewSweeper makes a sweeper that looks once an interval. told is called after
// each commit that left notices to be posted.
func NewSweeper(pool *pgxpool.Pool, now func() time.Time, interval time.Duration, log *slog.Logger, told func()) *Sweeper {
	return &Sweeper{pool: pool, now: now, interval: interval, log: log, told: told}
}

// Run sweeps until ctx ends. A failed sweep is logged and tried again.
func (s *Sweeper) Run(ctx context.Context) error {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		given, err := s.Sweep(ctx)
		switch {
		case err != nil && !errors.Is(err, context.Canceled):
			s.log.ErrorContext(ctx, "sweep of waiting tickets failed", "error", err)
		case given > 0:
			s.log.InfoContext(ctx, "waiting tickets assigned", "count", given)
		}
	}
}

// sweepBatch bounds a transaction of the sweep, which locks all engineers.
const sweepBatch = 10

// sweep waits for all engineers when there is something to give them.
func sweep(ctx context.Context, q *crmdb.Queries, now time.Time) (int, error) {
	rows, err := q.AssignmentTicketsWaiting(ctx, sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("list waiting tickets: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	if err := q.EngineerLockAll(ctx); err != nil {
		return 0, fmt.Errorf("lock engineers: %w", err)
	}
	return giveOut(ctx, q, now, rows)
}

// Sweep gives out every waiting ticket that somebody can take, ten in a
// transaction, and returns how many.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	total := 0
	for {
		given := 0
		err := pg.Retry(ctx, func() error {
			return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
				given, err = sweep(ctx, crmdb.New(tx), s.now())
				return err
			})
		})
		if err != nil {
			return total, err
		}
		if given > 0 {
			s.told()
		}
		total += given
		if given < sweepBatch {
			return total, nil
		}
	}
}

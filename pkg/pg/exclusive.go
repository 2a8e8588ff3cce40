package pg

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// unlockWithin bounds the end of the lock: a database that hangs must not hold up the
// stop of a service. The connection is closed then, which ends the lock, too.
const unlockWithin = time.Second

// Exclusive returns a function that calls run unless another session of the
// same database is inside such a call for the same job, and that reports
// whether it called run: see background.Config. It holds a transaction-level advisory lock
// (pg_try_advisory_xact_lock, which poolers in transaction mode understand) on
// a connection of its own while run runs; that transaction has no snapshot, so
// it doesn't hold back vacuum. When the connection breaks, the context of run
// isn't canceled, and another session may begin: run must be correct then too.
func Exclusive(pool *pgxpool.Pool) func(ctx context.Context, job string, run func(context.Context) error) (ran bool, err error) {
	return func(ctx context.Context, job string, run func(context.Context) error) (ran bool, err error) {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(job))
		key := int64(hash.Sum64())
		tx, err := pool.Begin(ctx)
		if err != nil {
			return false, fmt.Errorf("lock the job: %w", err)
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockWithin)
			defer cancel()
			_ = tx.Rollback(ctx)
		}()
		batch := &pgx.Batch{}
		batch.Queue("set local idle_in_transaction_session_timeout = 0")
		batch.Queue("select pg_try_advisory_xact_lock($1)", key).QueryRow(func(row pgx.Row) error {
			return row.Scan(&ran)
		})
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return false, fmt.Errorf("lock the job: %w", err)
		}
		if !ran {
			return false, nil
		}
		return true, run(ctx)
	}
}

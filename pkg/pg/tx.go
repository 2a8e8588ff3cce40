package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DBTX runs statements. sqlc's queries are made on one.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Tx is a transaction that needs few round trips: statements of Later are sent with
// the next one, the first of all with begin, the last with commit. The server runs
// them one after the other, each on what was committed when it begins (read
// committed). It is for one goroutine.
type Tx struct {
	conn  *pgxpool.Conn
	batch *pgx.Batch // not sent yet
}

// InTx runs f in a transaction. An error of f, and one of a statement that was sent
// with the commit, rolls back.
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(tx *Tx) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes a connection that is still in a transaction
	tx := &Tx{conn: conn, batch: &pgx.Batch{}}
	tx.batch.Queue("begin")
	defer tx.rollback(ctx)
	if err := f(tx); err != nil {
		return err
	}
	tx.batch.Queue("commit")
	return tx.flush(ctx)
}

// rollback ends a transaction that was not committed. If the connection is broken, the
// server does.
func (tx *Tx) rollback(ctx context.Context) {
	if conn := tx.conn.Conn(); !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, "rollback")
	}
}

// Together runs the statements of calls in one round trip. Each call makes one
// statement and reads its result; it is called twice: first its statement is noted,
// and what it returns and stores is ignored, then it gets the result. The first error
// is returned.
func (tx *Tx) Together(ctx context.Context, calls ...func(DBTX) error) error {
	before := tx.batch.Len()
	for _, call := range calls {
		_ = call(noted{tx})
	}
	return tx.send(ctx, func(results pgx.BatchResults) error {
		for range before {
			if _, err := results.Exec(); err != nil {
				return err
			}
		}
		for _, call := range calls {
			if err := call(answered{results}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Later returns a DBTX whose Exec notes a statement, to be sent with the next one, and
// returns an empty tag. An error of the statement is that of the next one, or of InTx.
func (tx *Tx) Later() DBTX { return later{noted{tx}} }

// Exec runs what was noted and a statement, in one round trip.
func (tx *Tx) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = tx.Together(ctx, func(db DBTX) (err error) {
		tag, err = db.Exec(ctx, sql, args...)
		return err
	})
	return tag, err
}

// Query runs what was noted, and then a query.
func (tx *Tx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := tx.flush(ctx); err != nil {
		return nil, err
	}
	return tx.conn.Query(ctx, sql, args...)
}

// QueryRow runs what was noted, and then a query of one row.
func (tx *Tx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := tx.flush(ctx); err != nil {
		return failedRow{err}
	}
	return tx.conn.QueryRow(ctx, sql, args...)
}

func (tx *Tx) flush(ctx context.Context) error {
	if tx.batch.Len() == 0 {
		return nil
	}
	return tx.send(ctx, func(pgx.BatchResults) error { return nil })
}

// send sends what was noted and reads the results. Those that read leaves are read
// after it, and the first error among them is returned.
func (tx *Tx) send(ctx context.Context, read func(pgx.BatchResults) error) (err error) {
	batch := tx.batch
	tx.batch = &pgx.Batch{}
	results := tx.conn.SendBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	return read(results)
}

// errNoted is what the first call of a statement returns.
var errNoted = errors.New("the statement has not been sent yet")

// noted notes statements.
type noted struct{ tx *Tx }

func (n noted) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	n.tx.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, errNoted
}

func (n noted) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	n.tx.batch.Queue(sql, args...)
	return nil, errNoted
}

func (n noted) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	n.tx.batch.Queue(sql, args...)
	return failedRow{errNoted}
}

// later notes statements whose results nobody reads.
type later struct{ noted }

func (l later) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	_, _ = l.noted.Exec(ctx, sql, args...)
	return pgconn.CommandTag{}, nil
}

func (later) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, fmt.Errorf("a query can't wait: %w", errNoted)
}

func (later) QueryRow(context.Context, string, ...any) pgx.Row {
	return failedRow{fmt.Errorf("a query can't wait: %w", errNoted)}
}

// answered gives the results of noted statements, in their order.
type answered struct{ results pgx.BatchResults }

func (a answered) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.results.Exec()
}

func (a answered) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return a.results.Query()
}

func (a answered) QueryRow(context.Context, string, ...any) pgx.Row { return a.results.QueryRow() }

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

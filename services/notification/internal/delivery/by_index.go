package delivery

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/services/notification/internal/notificationdb"
)

// byIndex returns the queries, each of which finds rows by index and is a transaction of
// its own that takes one round trip. Otherwise a connection keeps the plans that it made
// when the tables were small, by which every claim and settlement reads all recipients.
func byIndex(db *pgxpool.Pool) *notificationdb.Queries {
	return notificationdb.New(indexed{db})
}

// indexed sends each statement together with the settings of its transaction. The
// transaction is the implicit one of the statements between two Sync messages
// (PostgreSQL manual, 55.2.4), so that it has ended once the results are closed.
type indexed struct{ db *pgxpool.Pool }

func (i indexed) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	batch := &pgx.Batch{}
	if err := notificationdb.New(queuing{batch: batch}).DeliveryPlanByIndex(ctx); err != nil {
		return nil, err
	}
	batch.Queue(sql, args...)
	results := i.db.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return nil, err
	}
	return results, nil
}

// Exec returns once the transaction is committed.
func (i indexed) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results, err := i.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	return tag, errors.Join(err, results.Close())
}

// Query returns rows after whose end, or Close, the transaction is committed unless Err
// is set.
func (i indexed) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := i.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &lastRows{Rows: rows, results: results}, nil
}

// QueryRow returns the first row; its Scan returns once the transaction is committed.
func (i indexed) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := i.Query(ctx, sql, args...)
	return firstRow{rows, err}
}

// SendBatch sends a batch without the settings. No query of this package is a batch.
func (i indexed) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	return i.db.SendBatch(ctx, batch)
}

// queuing adds a statement to a batch.
type queuing struct {
	notificationdb.DBTX

	batch *pgx.Batch
}

func (q queuing) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	q.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// lastRows are the rows of the last statement of a batch.
type lastRows struct {
	pgx.Rows

	results pgx.BatchResults
	err     error // of the end of the transaction
}

func (r *lastRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *lastRows) Close() {
	r.Rows.Close()
	if r.results != nil {
		r.err = r.results.Close()
		r.results = nil
	}
}

func (r *lastRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type firstRow struct {
	rows pgx.Rows
	err  error
}

func (r firstRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

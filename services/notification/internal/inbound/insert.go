package inbound

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	// maxInserts is how many transactions store mails at a time: while one waits for the
	// disk the next is prepared.
	maxInserts = 2
	// maxTogether and maxTogetherBytes bound the mails of one transaction.
	maxTogether      = 50
	maxTogetherBytes = 4 << 20
)

// inserter stores the mails that come in meanwhile by one transaction, so that they
// share a commit. A mail never waits for others to come.
type inserter struct {
	db *pgxpool.Pool

	mu      sync.Mutex
	waiting []*insertion
	running int
}

// insertion is a mail that is to be stored.
type insertion struct {
	row  notificationdb.InboundInsertParams
	done chan struct{} // closed when id and err are set
	id   uuid.UUID
	err  error
}

// insert stores a mail and returns its id, or the id of the mail that it repeats. After
// an error, the end of ctx included, the mail may be stored or not.
func (i *inserter) insert(ctx context.Context, row notificationdb.InboundInsertParams) (uuid.UUID, error) {
	w := &insertion{row: row, done: make(chan struct{})}
	i.mu.Lock()
	i.waiting = append(i.waiting, w)
	if i.running < maxInserts {
		i.running++
		go i.run()
	}
	i.mu.Unlock()
	select {
	case <-w.done:
		return w.id, w.err
	case <-ctx.Done():
		return uuid.Nil, ctx.Err()
	}
}

// run stores what waits, until nothing does.
func (i *inserter) run() {
	for batch := i.next(); len(batch) > 0; batch = i.next() {
		i.store(batch)
	}
}

func (i *inserter) next() []*insertion {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, size := 0, 0
	for n < len(i.waiting) && n < maxTogether && size < maxTogetherBytes {
		size += len(i.waiting[n].row.Data)
		n++
	}
	batch := slices.Clone(i.waiting[:n])
	i.waiting = slices.Delete(i.waiting, 0, n)
	if n == 0 {
		i.running--
	}
	return batch
}

// store stores mails by one transaction. When the database refuses it, each is stored
// by its own, so that none fails for another's sake.
func (i *inserter) store(batch []*insertion) {
	// Transactions that store the same mails lock them in the same order.
	slices.SortFunc(batch, func(a, b *insertion) int { return bytes.Compare(a.row.Fingerprint, b.row.Fingerprint) })
	rows := make([]notificationdb.InboundInsertParams, len(batch))
	for k, w := range batch {
		rows[k] = w.row
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	var ids []uuid.UUID
	err := pg.Retry(ctx, func() (err error) {
		ids, err = insertAll(ctx, notificationdb.New(i.db), rows...)
		return err
	})
	if refused := (*pgconn.PgError)(nil); len(batch) > 1 && errors.As(err, &refused) && !pg.Unavailable(err) {
		for _, w := range batch {
			i.store([]*insertion{w})
		}
		return
	}
	for k, w := range batch {
		if w.err = err; err == nil {
			w.id = ids[k]
		}
		close(w.done)
	}
}

// insertAll stores mails by one transaction and returns for each its id, or the id of
// the mail that it repeats.
func insertAll(ctx context.Context, q *notificationdb.Queries, rows ...notificationdb.InboundInsertParams) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(rows))
	var failed error
	results := q.InboundInsert(ctx, rows)
	results.QueryRow(func(k int, id uuid.UUID, err error) {
		ids[k] = id
		if failed == nil && !errors.Is(err, pgx.ErrNoRows) {
			failed = err
		}
	})
	// The rows are answered before the commit: its error is that of Close.
	if err := results.Close(); failed == nil {
		failed = err
	}
	for k := 0; k < len(rows) && failed == nil; k++ {
		if ids[k] == uuid.Nil {
			ids[k], failed = repeat(ctx, q, rows[k])
		}
	}
	return ids, failed
}

// repeat counts a mail that is stored already and returns its id. It stores the mail
// when the other one was deleted meanwhile.
func repeat(ctx context.Context, q *notificationdb.Queries, row notificationdb.InboundInsertParams) (uuid.UUID, error) {
	id, err := q.InboundRepeat(ctx, row.Fingerprint)
	if errors.Is(err, pgx.ErrNoRows) {
		ids, err := insertAll(ctx, q, row)
		if err != nil {
			return uuid.Nil, err
		}
		return ids[0], nil
	}
	return id, err
}

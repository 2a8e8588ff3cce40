package pg

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// Purge deletes old rows in batches. A batch that doesn't fit the statement or
// lock timeout is tried again with half as many rows, down to one, so that a
// slow database delays the purge and never stops it; after each batch that fits
// the next one has twice as many, up to Max. The zero value isn't usable: set
// Max and Delete.
type Purge struct {
	// Max is the most rows of a batch.
	Max int32
	// Delete deletes at most limit rows in a transaction of its own and returns
	// how many it deleted; fewer than limit means that no more are left.
	Delete func(ctx context.Context, limit int32) (deleted int64, err error)

	size atomic.Int32 // of the next batch; 0 is Max
}

// RunOnce deletes one batch and reports whether more rows may be left. It fails when
// not even one row can be deleted in time.
func (p *Purge) RunOnce(ctx context.Context) (again bool, err error) {
	again, _, err = p.batch(ctx)
	return again, err
}

func (p *Purge) batch(ctx context.Context) (again bool, deleted int64, err error) {
	size := p.size.Load()
	if size == 0 {
		size = p.Max
	}
	for {
		deleted, err = p.Delete(ctx, size)
		if err == nil {
			break
		}
		if size == 1 || ctx.Err() != nil || !timedOut(err) {
			return false, 0, err
		}
		size /= 2
		p.size.Store(size)
	}
	p.size.Store(min(p.Max, 2*size))
	return deleted >= int64(size), deleted, nil
}

// Run deletes batch after batch until no more rows are left or ctx ends, and
// returns how many it deleted.
func (p *Purge) Run(ctx context.Context) (deleted int64, err error) {
	for again := true; again; {
		var n int64
		again, n, err = p.batch(ctx)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}

// PurgeInOrder deletes rows in the order of their ids, from those after one on, in
// batches as Purge does. next examines at most limit rows after an id, deletes those of
// them that are to go, and returns the last one's id and how many it examined. The result
// is the id up to which rows were examined, also with an error.
func PurgeInOrder(ctx context.Context, most int32, after uuid.UUID, next func(ctx context.Context, after uuid.UUID, limit int32) (last uuid.UUID, examined int64, err error)) (uuid.UUID, error) {
	batches := Purge{Max: most, Delete: func(ctx context.Context, limit int32) (int64, error) {
		last, examined, err := next(ctx, after, limit)
		if err == nil {
			after = last
		}
		return examined, err
	}}
	_, err := batches.Run(ctx)
	return after, err
}

func timedOut(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == queryCanceled || pgErr.Code == lockNotAvailable)
}

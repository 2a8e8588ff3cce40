package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// store keeps the shared buckets in the table request_limits. A row is the time at
// which the bucket is full (the generic cell rate algorithm), by the database's
// clock; a bucket without a row is full.
type store struct{ pool *pgxpool.Pool }

// charge is what one replica takes from one shared bucket.
type charge struct {
	key    [16]byte
	refill time.Duration // how long the tokens taken take to come back
}

// The rows are written in the order of their keys, so that two replicas don't wait
// for each other.
const chargeSQL = `
insert into request_limits as l (key, full_at)
select c.key, now() + c.seconds * interval '1 second' from unnest($1::bytea[], $2::float8[]) as c(key, seconds) order by c.key
on conflict (key) do update
set full_at = least(greatest(l.full_at, now()) + (excluded.full_at - now()), now() + $3::float8 * interval '1 second')
returning key, extract(epoch from full_at - now())::float8`

// charge takes tokens from buckets, of which each is in the batch once, and returns
// how long each bucket takes to be full, at most longest.
func (s store) charge(ctx context.Context, batch []charge, longest time.Duration) (map[[16]byte]time.Duration, error) {
	keys, seconds := make([][]byte, len(batch)), make([]float64, len(batch))
	for i := range batch {
		keys[i], seconds[i] = batch[i].key[:], batch[i].refill.Seconds()
	}
	rows, err := s.pool.Query(ctx, chargeSQL, keys, seconds, longest.Seconds())
	if err != nil {
		return nil, fmt.Errorf("charge request limits: %w", err)
	}
	full := make(map[[16]byte]time.Duration, len(batch))
	var k []byte
	var left float64
	if _, err := pgx.ForEachRow(rows, []any{&k, &left}, func() error {
		full[[16]byte(k)] = time.Duration(left * float64(time.Second))
		return nil
	}); err != nil {
		return nil, fmt.Errorf("charge request limits: %w", err)
	}
	return full, nil
}

// purge deletes full buckets.
func (s store) purge(ctx context.Context, limit int32) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
delete from request_limits where key in (
    select key from request_limits where full_at < now() limit $1 for update skip locked)`, limit)
	if err != nil {
		return 0, fmt.Errorf("purge request limits: %w", err)
	}
	return tag.RowsAffected(), nil
}

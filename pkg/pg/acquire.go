package pg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// boundedAcquire bounds how long anybody waits for a connection of the pool.
// pgxpool has no setting for that, but acquires with the context that its
// acquire tracer gives it.
type boundedAcquire struct{ timeout time.Duration }

type cancelKey struct{}

// TraceAcquireStart gives the context with the deadline.
func (b boundedAcquire) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

// TraceAcquireEnd frees what the deadline holds.
func (boundedAcquire) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart does nothing: pgx takes no acquire tracer that traces no
// queries.
func (boundedAcquire) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

// TraceQueryEnd does nothing.
func (boundedAcquire) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Close closes the pool and waits at most timeout for its connections to end:
// a server that hangs answers no goodbye. What is left ends with the process.
func Close(pool *pgxpool.Pool, timeout time.Duration) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		pool.Close()
	}()
	select {
	case <-closed:
	case <-time.After(timeout):
	}
}

package pg

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// callGrace is how much longer than the statement timeout a call waits: for
	// the answer, or for the cancelation.
	callGrace = 5 * time.Second
	// callTimeoutWithoutLimit applies where the statement timeout is off.
	callTimeoutWithoutLimit = time.Minute
)

// deadlines sets a deadline for each use of a connection, whatever the caller's
// context has: the server's own timeouts end nothing when the server hangs. pgx
// has no setting for that, but runs each call with the context that its tracer
// returns.
type deadlines struct {
	acquire time.Duration // of a connection of the pool
	call    time.Duration // of a query until its rows are read, a batch, a copy
}

type cancelKey struct{}

func start(ctx context.Context, timeout time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

func end(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceAcquireStart is called before the pool looks for a connection.
func (d deadlines) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return start(ctx, d.acquire)
}

// TraceAcquireEnd releases the deadline.
func (deadlines) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	end(ctx)
}

// TraceQueryStart is called before Query, QueryRow and Exec.
func (d deadlines) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return start(ctx, d.call)
}

// TraceQueryEnd releases the deadline.
func (deadlines) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

// TraceBatchStart is called before SendBatch.
func (d deadlines) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return start(ctx, d.call)
}

// TraceBatchQuery does nothing.
func (deadlines) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd releases the deadline.
func (deadlines) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { end(ctx) }

// TraceCopyFromStart is called before CopyFrom.
func (d deadlines) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return start(ctx, d.call)
}

// TraceCopyFromEnd releases the deadline.
func (deadlines) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromEndData) {
	end(ctx)
}

// callTimeout returns the default for a statement_timeout as PostgreSQL reads
// it: milliseconds, or a number with a unit.
func callTimeout(statementTimeout string) time.Duration {
	timeout, err := time.ParseDuration(statementTimeout)
	if ms, numeric := strconv.ParseInt(statementTimeout, 10, 64); numeric == nil {
		timeout, err = time.Duration(ms)*time.Millisecond, nil
	}
	if err != nil || timeout <= 0 {
		return callTimeoutWithoutLimit
	}
	return timeout + callGrace
}

// Close closes the pool and waits at most timeout for its connections to end:
// a server that hangs doesn't acknowledge the end of a connection. What is left
// ends with the process.
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

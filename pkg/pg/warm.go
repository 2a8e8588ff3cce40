package pg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// warmTimeout bounds the statements of Warmup on one connection.
const warmTimeout = 5 * time.Second

// Warmup runs statements on each new connection before it is used. PostgreSQL reads
// its catalog, parses, plans and compiles anew in each session, so that the first
// large statement takes twenty times as long as the next, with its row locks held.
type Warmup struct {
	statements []func(ctx context.Context, tx pgx.Tx) error
	on         atomic.Bool
}

// NewWarmup makes a Warmup. Each function of statements runs in a transaction of its
// own that is rolled back; it should lock no row that others wait for. An error is
// ignored unless it closed the connection: the statement is only slower the first
// time then.
func NewWarmup(statements ...func(ctx context.Context, tx pgx.Tx) error) *Warmup {
	return &Warmup{statements: statements}
}

// Fill replaces the pool's connections by as many warm ones as it may have, one after
// the other, so that the database is not overloaded; connections that the pool opens
// later are warm, too. It needs the whole schema. When the database accepts fewer
// connections, it logs that and is content with those.
func (w *Warmup) Fill(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	w.on.Store(true)
	pool.Reset()
	held := make([]*pgxpool.Conn, 0, pool.Config().MaxConns)
	defer func() {
		for _, conn := range held {
			conn.Release()
		}
	}()
	for len(held) < cap(held) {
		conn, err := pool.Acquire(ctx)
		var pgErr *pgconn.PgError
		switch {
		case err == nil:
			held = append(held, conn)
		case errors.As(err, &pgErr) && pgErr.Code == tooManyConnections && len(held) > 0:
			log.WarnContext(ctx, "the database accepts fewer connections than the pool may have", "connections", len(held), "most", cap(held))
			return nil
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			// The pool goes on making the connection.
		default:
			return fmt.Errorf("fill the pool: %w", err)
		}
	}
	return nil
}

// connected prepares a new connection. Its error means that the connection is closed.
func (w *Warmup) connected(ctx context.Context, conn *pgx.Conn) error {
	if w == nil || !w.on.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	for _, run := range w.statements {
		tx, err := conn.Begin(ctx)
		if err == nil {
			err = errors.Join(run(ctx, tx), tx.Rollback(ctx))
		}
		if conn.IsClosed() {
			return fmt.Errorf("prepare a connection: %w", err)
		}
	}
	return nil
}

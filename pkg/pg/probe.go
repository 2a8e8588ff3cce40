package pg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/singleflight"
)

// ErrReadOnly means that the database accepts no writes: it is a standby, or
// was made read-only.
var ErrReadOnly = errors.New("the database is read-only")

const (
	probeTimeout = 2 * time.Second
	// probeAge is how long one result is reused.
	probeAge = time.Second
)

// Probe checks whether the database can be used. It makes a new connection each
// time: a pool without a free one is busy, not broken, and an old connection may
// lead to a server that was replaced.
type Probe struct {
	config *pgx.ConnConfig
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	at      time.Time
	outcome error
}

// NewProbe makes a probe of the database that the pool uses.
func NewProbe(pool *pgxpool.Pool, now func() time.Time) *Probe {
	config := pool.Config().ConnConfig
	config.Tracer = nil
	return &Probe{config: config, now: now}
}

// Ready returns nil when the database answers within two seconds and takes
// writes, ErrReadOnly when it takes none. Callers at the same time, and within
// a second, share one result, so that many of them cost one connection.
func (p *Probe) Ready(ctx context.Context) error {
	result := p.flight.DoChan("", func() (any, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if now := p.now(); p.at.IsZero() || now.Sub(p.at) >= probeAge {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
			defer cancel()
			p.at, p.outcome = now, p.ask(ctx)
		}
		return nil, p.outcome
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("wait for the database: %w", ctx.Err())
	}
}

func (p *Probe) ask(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.config.Copy())
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == tooManyConnections {
		return nil // the server answers; the pool holds all its connections
	}
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	// In recovery, transactions are read-only, too.
	var readOnly string
	if err := conn.QueryRow(ctx, "show transaction_read_only", pgx.QueryExecModeSimpleProtocol).Scan(&readOnly); err != nil {
		return fmt.Errorf("ask the database: %w", err)
	}
	if readOnly != "off" {
		return ErrReadOnly
	}
	return nil
}

// Package pg connects both services to PostgreSQL: a pool with time limits,
// migrations, retries of transactions that conflicted, and the meaning of the
// database's errors.
//
// It must not know any table.
package pg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Config has the limits of one pool. A zero field means the default; a session
// parameter in the URL overrides the field.
type Config struct {
	// Application is shown as application_name in pg_stat_activity.
	Application string
	// MaxConns is the most connections at a time; default 4 per CPU and at
	// least 10.
	MaxConns int32
	// StatementTimeout ends a statement that runs longer; default 5 s.
	StatementTimeout time.Duration
	// LockTimeout ends a statement that waits longer for a lock; default 2 s.
	LockTimeout time.Duration
	// AcquireTimeout bounds the wait for a connection of the pool, including the
	// time to make one; default 1 s. connect_timeout in the URL overrides it.
	AcquireTimeout time.Duration
	// CallTimeout bounds how long a call waits for the server, whatever deadline
	// its context has; its connection is closed then. Default 5 s more than the
	// statement timeout in force, or 1 minute where that is off.
	CallTimeout time.Duration
	// IdleInTransactionTimeout closes a connection that leaves its transaction
	// idle for longer; default 10 s.
	IdleInTransactionTimeout time.Duration
	// Warmup prepares each new connection; none by default.
	Warmup *Warmup
}

// lifetimeJitter spreads the replacement of connections that were made together.
const lifetimeJitter = 10 * time.Minute

// Open makes a pool for the database at url (postgres://…, as libpq
// understands it) and waits for no connection: use Probe to learn whether the
// database answers. Times are read in UTC and UUIDs in binary.
func Open(ctx context.Context, url string, config Config) (*pgxpool.Pool, error) {
	poolConfig, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The cause may hold the URL, and the URL a password.
		return nil, errors.New("the database URL can't be understood; it should look like postgres://user:password@host:5432/name")
	}
	for name, value := range config.parameters() {
		if _, set := poolConfig.ConnConfig.RuntimeParams[name]; !set {
			poolConfig.ConnConfig.RuntimeParams[name] = value
		}
	}
	poolConfig.MaxConns = config.MaxConns
	if poolConfig.MaxConns == 0 {
		poolConfig.MaxConns = int32(max(10, 4*runtime.NumCPU()))
	}
	poolConfig.ConnConfig.Tracer = deadlines{
		acquire: cmp.Or(poolConfig.ConnConfig.ConnectTimeout, config.AcquireTimeout, time.Second),
		call:    cmp.Or(config.CallTimeout, callTimeout(poolConfig.ConnConfig.RuntimeParams["statement_timeout"])),
	}
	if poolConfig.ConnConfig.ConnectTimeout == 0 {
		poolConfig.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	poolConfig.ConnConfig.OnPgError = func(_ *pgconn.PgConn, err *pgconn.PgError) bool {
		// A connection to a read-only server is dropped, so that the next one
		// leads to the server that replaced it.
		return err.SeverityUnlocalized != "FATAL" && err.Code != readOnlyTransaction
	}
	poolConfig.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		registerTypes(conn.TypeMap())
		return config.Warmup.connected(ctx, conn)
	}
	poolConfig.MaxConnLifetimeJitter = max(poolConfig.MaxConnLifetimeJitter, lifetimeJitter)
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	return pool, nil
}

func (c Config) parameters() map[string]string {
	milliseconds := func(d, byDefault time.Duration) string {
		if d == 0 {
			d = byDefault
		}
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	parameters := map[string]string{
		"timezone":          "UTC",
		"statement_timeout": milliseconds(c.StatementTimeout, 5*time.Second),
		"lock_timeout":      milliseconds(c.LockTimeout, 2*time.Second),
		// Compiling a statement costs more time than it saves in short ones.
		"jit": "off",
		// Starting workers takes longer than most statements, and a request gets no
		// more than one core while others wait.
		"max_parallel_workers_per_gather":     "0",
		"idle_in_transaction_session_timeout": milliseconds(c.IdleInTransactionTimeout, 10*time.Second),
	}
	if c.Application != "" {
		parameters["application_name"] = c.Application
	}
	return parameters
}

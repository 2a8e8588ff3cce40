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
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
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
	// Traces makes a span of each call within a request's span; nil makes none. Spans
	// have the statement and none of its values.
	Traces trace.TracerProvider
	// Warmup prepares each new connection; none by default.
	Warmup *Warmup
	// Pooler says that the URL leads to a pooler in transaction mode, as PgBouncer's:
	// sessions get no parameters of their own, since the pooler refuses them, and
	// statements have no names, since the next one may run on another server
	// connection. The role has to have the limits then, see CheckLimits.
	Pooler bool
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
	config.setParameters(poolConfig.ConnConfig, url)
	poolConfig.MaxConns = config.MaxConns
	if poolConfig.MaxConns == 0 {
		poolConfig.MaxConns = int32(max(10, 4*runtime.NumCPU()))
	}
	poolConfig.ConnConfig.Tracer = deadlines{
		acquire: cmp.Or(poolConfig.ConnConfig.ConnectTimeout, config.AcquireTimeout, time.Second),
		call:    cmp.Or(config.CallTimeout, callTimeout(poolConfig.ConnConfig.RuntimeParams["statement_timeout"])),
	}
	if config.Traces != nil {
		poolConfig.ConnConfig.Tracer = multitracer.New(poolConfig.ConnConfig.Tracer, otelpgx.NewTracer(
			otelpgx.WithTracerProvider(config.Traces), otelpgx.WithDisableConnectionDetailsInAttributes()))
	}
	setHosts(poolConfig.ConnConfig)
	var opened atomic.Pointer[pgxpool.Pool]
	poolConfig.ConnConfig.OnPgError = func(_ *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code == readOnlyTransaction {
			// Every connection may lead to the server that was demoted. The next ones
			// lead to the server that replaced it.
			if pool := opened.Load(); pool != nil {
				go pool.Reset()
			}
			return false
		}
		return err.SeverityUnlocalized != "FATAL"
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
	opened.Store(pool)
	return pool, nil
}

// setHosts makes a connection to one of several hosts lead to the one that takes
// writes, also where the URL does not ask for that (target_session_attrs).
func setHosts(c *pgx.ConnConfig) {
	several := slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.Host != c.Host || f.Port != c.Port
	})
	if several && c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if c.ConnectTimeout == 0 { // for each host
		c.ConnectTimeout = 5 * time.Second
		if several {
			c.ConnectTimeout = 2 * time.Second
		}
	}
}

// setParameters sets what the URL doesn't.
func (c Config) setParameters(to *pgx.ConnConfig, url string) {
	parameters := c.parameters()
	if c.Pooler {
		maps.DeleteFunc(parameters, func(name, _ string) bool { return !slices.Contains(poolerTracks, name) })
		if !strings.Contains(url, "default_query_exec_mode") {
			to.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
	}
	if to.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		// The other mode is that of a few lists; 512 of them would take 90 KB a connection.
		to.DescriptionCacheCapacity = 16
	}
	for name, value := range parameters {
		if _, set := to.RuntimeParams[name]; !set {
			to.RuntimeParams[name] = value
		}
	}
}

// poolerTracks are the parameters that PgBouncer keeps for each client.
var poolerTracks = []string{"application_name", "timezone"}

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
		// What requests read is mostly in memory or on an SSD. For the default of 4 a table
		// of some hundred rows, such as sessions, would be read whole for each key
		// (PostgreSQL, 20.7.2).
		"random_page_cost": "1.1",
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

// Package pgtest makes a real PostgreSQL database for each test, in a few
// milliseconds: a clone of a template that the migrations made once.
//
// The server is the one that FIXDESK_TEST_DATABASE_URL names, which
// fixdesk/pkg/dev/pgtest/withpg sets for a whole run of tests, or else one that the
// test binary starts at the first use and removes at the end. Its data is in memory
// where there is space, and lost in a crash; so tests of crashes start their own
// with fixdesk/pkg/dev/pgserver.
package pgtest

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"fixdesk/pkg/pg"
)

// EnvURL names the variable with the URL of the server to use: of a database
// whose user may create others.
const EnvURL = "FIXDESK_TEST_DATABASE_URL"

var server struct {
	sync.Mutex
	managed bool // Main runs and stops the server
	url     string
	cluster *Cluster
	conn    *pgx.Conn // makes and drops the databases
}

// Main is all of a package's TestMain:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// It runs the tests, removes the server, fails the run if a goroutine is left over,
// and exits.
func Main(m *testing.M, options ...goleak.Option) {
	server.Lock()
	server.managed = true
	server.url = os.Getenv(EnvURL)
	server.Unlock()

	code := m.Run()

	server.Lock()
	if server.conn != nil {
		_ = server.conn.Close(context.Background())
	}
	if server.cluster != nil {
		if err := server.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
	}
	server.Unlock()
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: goroutines left over:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// The limits in tests are far above what any statement takes, so that a busy
// machine fails no test.
const (
	patientStatementTimeout = time.Minute
	patientLockTimeout      = time.Minute
	patientCallTimeout      = 10 * time.Minute
)

// New returns a pool on a fresh database made by the migrations in dir of files;
// both are removed when the test ends. The pool is opened like a service's, with up
// to 12 connections and longer timeouts.
func New(t testing.TB, files fs.FS, dir string) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(t.Context(), NewURL(t, files, dir), pg.Config{
		Application: t.Name(), MaxConns: 12, AcquireTimeout: patientStatementTimeout, CallTimeout: patientCallTimeout,
		StatementTimeout: patientStatementTimeout, LockTimeout: patientLockTimeout, IdleInTransactionTimeout: patientStatementTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// NewPatientURL is NewURL for a program that opens its connections with
// pg.Open: the URL sets the timeouts of statements and of waiting for locks and
// for a connection, which override the program's.
func NewPatientURL(t testing.TB, files fs.FS, dir string) string {
	t.Helper()
	return patient(t, NewURL(t, files, dir))
}

func patient(t testing.TB, database string) string {
	t.Helper()
	address, err := url.Parse(database)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	query := address.Query()
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		query.Set(name, strconv.FormatInt(patientStatementTimeout.Milliseconds(), 10))
	}
	query.Set("connect_timeout", "60")
	address.RawQuery = query.Encode()
	return address.String()
}

// NewURL is New for a test that opens its own connections, or whose program
// does. It returns the fresh database's URL.
func NewURL(t testing.TB, files fs.FS, dir string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	maintenance, err := maintenanceURL(ctx)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	name, err := clone(ctx, maintenance, files, dir)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	t.Cleanup(func() { drop(t, maintenance, name) })
	address, err := withDatabase(maintenance, name)
	if err != nil {
		t.Fatal("pgtest: ", err)
	}
	return address
}

func maintenanceURL(ctx context.Context) (string, error) {
	server.Lock()
	defer server.Unlock()
	if !server.managed {
		return "", fmt.Errorf("the package needs func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	if server.url == "" {
		cluster, err := StartCluster(ctx)
		if err != nil {
			return "", err
		}
		server.cluster, server.url = cluster, cluster.URL()
	}
	return server.url, nil
}

func drop(t testing.TB, maintenance, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := execute(ctx, maintenance, "drop database if exists "+quote(name)+" with (force)"); err != nil {
		t.Logf("pgtest: drop the test's database: %v", err)
	}
}

// execute runs a statement on the one connection that a test binary keeps for its
// databases: each connection costs the server a process.
func execute(ctx context.Context, maintenance, sql string) (err error) {
	server.Lock()
	defer server.Unlock()
	if server.conn == nil || server.conn.IsClosed() {
		if server.conn, err = pgx.Connect(ctx, maintenance); err != nil {
			return err
		}
	}
	_, err = server.conn.Exec(ctx, sql)
	return err
}

func connected(ctx context.Context, url string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

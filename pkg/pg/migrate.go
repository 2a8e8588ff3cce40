package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// migrateLimit bounds the wait for locks that others hold, and separately the
	// wait for the migrations of another process.
	migrateLimit     = 30 * time.Minute
	migrateRetryBase = 500 * time.Millisecond
	migrateRetryCap  = 15 * time.Second
)

// Migrate brings the database to the newest migration in dir of files. Any
// number of processes may call it at the same time: one migrates, under an
// advisory lock of its session, and the others wait for it up to 30 minutes.
//
// Statements may run as long as they need, but none waits for a lock longer
// than the pool's lock_timeout, so that requests never queue for long behind a
// migration. A migration that meets a lock timeout or a deadlock is
// logged once and tried again, with growing pauses, for up to 30 minutes.
//
// A migration without a transaction (-- +goose NO TRANSACTION) must have one
// statement, or statements that can be repeated. Where it is create index
// concurrently, the invalid index that a failed try left is dropped before the
// next one. It blocks no other session while it waits for old transactions, and
// may therefore set lock_timeout = 0 and reset it afterwards.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS, dir string, log *slog.Logger) (err error) {
	migrations, err := fs.Sub(files, dir)
	if err != nil {
		return fmt.Errorf("open the migrations: %w", err)
	}
	db := migrationDB(pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	err = retryLocked(ctx, migrateLimit, log, func() error { return migrateUp(ctx, db, migrations, log) })
	if err != nil {
		return fmt.Errorf("migrate: %w", explainPooler(err))
	}
	return nil
}

// migrateUp applies the pending migrations and logs each.
func migrateUp(ctx context.Context, db *sql.DB, migrations fs.FS, log *slog.Logger) error {
	session, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, uint64(migrateLimit.Seconds())))
	if err != nil {
		return fmt.Errorf("prepare the migration lock: %w", err)
	}
	locker := &cleaningLocker{SessionLocker: session}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	if locker.indexes, err = concurrentIndexes(migrations, provider.ListSources()); err != nil {
		return err
	}
	applied, err := provider.Up(ctx)
	if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
		applied = partial.Applied
		err = fmt.Errorf("%s: %w", partial.Failed.Source.Path, partial.Err)
	}
	for _, result := range applied {
		log.InfoContext(ctx, "migration applied", "version", result.Source.Version, "duration_ms", result.Duration.Milliseconds())
	}
	return err
}

// retryLocked calls try until it succeeds or fails for another reason than a
// lock that another session holds. It starts no try after limit.
func retryLocked(ctx context.Context, limit time.Duration, log *slog.Logger, try func() error) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	for pause, first := migrateRetryBase, true; ; pause, first = min(2*pause, migrateRetryCap), false {
		err := try()
		if err == nil || !lockFailed(err) {
			return err
		}
		if first {
			log.WarnContext(ctx, "a migration waits for a table in use and is tried again", "limit", limit.String(), "error", err)
		}
		next := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			err = fmt.Errorf("%w, while waiting to try again after: %w", ctx.Err(), err)
		case <-over.C:
			err = fmt.Errorf("gave up after %s: %w", limit, err)
		case <-next.C:
			continue
		}
		next.Stop()
		return err
	}
}

func lockFailed(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == lockNotAvailable || pgErr.Code == deadlockDetected)
}

// concurrentIndex matches the statement that leaves an invalid index when it
// fails (PostgreSQL manual, CREATE INDEX, "Building Indexes Concurrently").
var concurrentIndex = regexp.MustCompile(`(?i)create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?("\w+"|\w+)`)

// concurrentIndexes returns the names of the indexes that each migration, by
// its version, builds concurrently.
func concurrentIndexes(migrations fs.FS, sources []*goose.Source) (map[int64][]string, error) {
	indexes := map[int64][]string{}
	for _, source := range sources {
		text, err := fs.ReadFile(migrations, source.Path)
		if err != nil {
			return nil, fmt.Errorf("read the migrations: %w", err)
		}
		for _, match := range concurrentIndex.FindAllSubmatch(text, -1) {
			indexes[source.Version] = append(indexes[source.Version], string(match[1]))
		}
	}
	return indexes, nil
}

// cleaningLocker drops, under the lock, the invalid indexes that a failed try of
// a pending migration left. Without the lock, an index that another process is
// building would look the same.
type cleaningLocker struct {
	lock.SessionLocker
	indexes map[int64][]string
}

func (l *cleaningLocker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if err := l.SessionLocker.SessionLock(ctx, conn); err != nil {
		return err
	}
	if err := l.dropInvalid(ctx, conn); err != nil {
		return errors.Join(err, l.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	return nil
}

func (l *cleaningLocker) dropInvalid(ctx context.Context, conn *sql.Conn) error {
	version, err := migrationVersion(ctx, conn)
	if err != nil {
		return err
	}
	var pending []string
	for v, names := range l.indexes {
		if v > version {
			pending = append(pending, names...)
		}
	}
	slices.Sort(pending)
	for _, name := range pending {
		var invalid string // quoted
		err := conn.QueryRowContext(ctx, `select c.oid::regclass::text from pg_class c join pg_index i on i.indexrelid = c.oid
			where c.oid = to_regclass($1) and c.relkind = 'i' and not i.indisvalid`, name).Scan(&invalid)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for an invalid index: %w", err)
		}
		if _, err := conn.ExecContext(ctx, "drop index concurrently if exists "+invalid); err != nil { //nolint:gosec // quoted by PostgreSQL
			return fmt.Errorf("drop the invalid index %s: %w", name, err)
		}
	}
	return nil
}

// migrationVersion returns the version of the database, 0 for an empty one.
func migrationVersion(ctx context.Context, conn *sql.Conn) (version int64, err error) {
	err = conn.QueryRowContext(ctx, "select coalesce(max(version_id), 0) from "+goose.DefaultTablename).Scan(&version)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == undefinedTable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database: %w", err)
	}
	return version, nil
}

// migrationDB connects like the pool, outside of it and without its time
// limits for statements and idle transactions.
func migrationDB(pool *pgxpool.Pool) *sql.DB {
	config := pool.Config().ConnConfig
	config.Tracer = nil
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	return stdlib.OpenDB(*config)
}

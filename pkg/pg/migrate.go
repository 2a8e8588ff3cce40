package pg

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrateWait is how many seconds a start waits for another one's migrations.
const migrateWait = 600

// Migrate brings the database to the newest migration in dir of files. Any
// number of programs may start at once: one migrates, under an advisory lock
// of its session, and the others wait up to ten minutes. Statements may run as
// long as they need, but none waits for a lock longer than the pool's
// lock_timeout, so that a migration never queues up the live system behind
// itself.
func Migrate(ctx context.Context, pool *pgxpool.Pool, files fs.FS, dir string, log *slog.Logger) (err error) {
	migrations, err := fs.Sub(files, dir)
	if err != nil {
		return fmt.Errorf("open the migrations: %w", err)
	}
	db := migrationDB(pool)
	defer func() { err = errors.Join(err, db.Close()) }()

	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, migrateWait))
	if err != nil {
		return fmt.Errorf("prepare the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	applied, err := provider.Up(ctx)
	if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
		applied = partial.Applied
		err = fmt.Errorf("%s: %w", partial.Failed.Source.Path, partial.Err)
	}
	for _, result := range applied {
		log.InfoContext(ctx, "migration applied", "version", result.Source.Version, "duration_ms", result.Duration.Milliseconds())
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// migrationDB connects like the pool, outside of it and without its time
// limits for statements and idle transactions.
func migrationDB(pool *pgxpool.Pool) *sql.DB {
	config := pool.Config().ConnConfig
	config.RuntimeParams["statement_timeout"] = "0"
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	return stdlib.OpenDB(*config)
}

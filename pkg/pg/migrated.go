package pg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// migratedInterval is the time between two looks at the database's version.
const migratedInterval = time.Second

// AwaitMigrations waits until the database has all migrations in dir of files, which
// another process applies: for a role that may not change the schema. A database that
// is newer has them. An outage of the database is waited for, too.
func AwaitMigrations(ctx context.Context, pool *pgxpool.Pool, files fs.FS, dir string, log *slog.Logger) error {
	newest, err := newestMigration(files, dir)
	if err != nil {
		return err
	}
	tick := time.NewTicker(migratedInterval)
	defer tick.Stop()
	for waiting := false; ; waiting = true {
		version, err := databaseVersion(ctx, pool)
		switch {
		case err == nil && version >= newest:
			return nil
		case err != nil && !Unavailable(err):
			return explainPooler(err)
		case !waiting && err != nil:
			log.InfoContext(ctx, "the database can't be asked for its schema's version yet", "wanted", newest, "error", err)
		case !waiting:
			log.InfoContext(ctx, "the schema is to be migrated by another process", "version", version, "wanted", newest)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// newestMigration returns the version of the newest migration in dir of files.
func newestMigration(files fs.FS, dir string) (newest int64, err error) {
	names, err := fs.Glob(files, dir+"/*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(err, fmt.Errorf("no migrations in %s", dir))
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("the migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// databaseVersion returns the version of the database, 0 for an empty one.
func databaseVersion(ctx context.Context, pool *pgxpool.Pool) (version int64, err error) {
	err = pool.QueryRow(ctx, "select coalesce(max(version_id), 0) from "+goose.DefaultTablename).Scan(&version)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == undefinedTable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database: %w", err)
	}
	return version, nil
}

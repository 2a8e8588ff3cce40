package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgserver"
)

const (
	// movedFile holds the path of the data if it is not in the state folder.
	movedFile = "postgres-folder"
	// movedTo holds the data when the account that must run the server can't
	// enter the state folder, for example in a closed home folder.
	movedTo = "/var/lib/fixdesk"
	// ownerFile in such a folder holds the path of its state folder.
	ownerFile = "state-folder"
)

// startPostgres starts the stack's own server. If this program is root's, the
// server's account may be unable to enter the state folder; the data is then in
// movedTo, and movedFile has its path.
func startPostgres(ctx context.Context, s *settings) (*pgserver.Server, error) {
	options := pgserver.Options{Dir: s.postgresFolder(), LogFile: s.path("postgres.log")}
	server, err := pgserver.Start(ctx, options)
	if !errors.Is(err, pgserver.ErrUnreachable) {
		return server, err
	}
	if err := removeForgotten(ctx, s.State); err != nil {
		return nil, err
	}
	options.Dir = filepath.Join(movedTo, strings.ToLower(rand.Text()[:10]))
	if err := os.WriteFile(s.path(movedFile), []byte(options.Dir), 0o644); err != nil {
		return nil, err
	}
	if server, err = pgserver.Start(ctx, options); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(options.Dir, ownerFile), []byte(s.State), 0o644); err != nil {
		return nil, errors.Join(err, server.Stop(ctx))
	}
	return server, nil
}

func (s *settings) postgresFolder() string {
	if moved, err := os.ReadFile(s.path(movedFile)); err == nil {
		return string(moved)
	}
	return s.path("postgres")
}

// removeForgotten removes the data of deleted state folders at this path.
func removeForgotten(ctx context.Context, state string) error {
	owners, _ := filepath.Glob(filepath.Join(movedTo, "*", ownerFile)) // fails for a bad pattern only
	for _, path := range owners {
		if owner, err := os.ReadFile(path); err == nil && string(owner) == state {
			if err := pgserver.Remove(ctx, filepath.Dir(path)); err != nil {
				return fmt.Errorf("remove the data of a deleted state folder: %w", err)
			}
		}
	}
	return nil
}

// createDatabases makes the databases that don't exist.
func createDatabases(ctx context.Context, serverURL string, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	config, err := pgx.ParseConfig(serverURL)
	if err != nil || !strings.HasPrefix(serverURL, "postgres://") && !strings.HasPrefix(serverURL, "postgresql://") {
		return errors.New("DATABASE_URL can't be understood; it should look like postgres://user:password@host:5432/postgres")
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the database server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range names {
		var exists bool
		err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", name).Scan(&exists)
		if err == nil && !exists {
			_, err = conn.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()+" encoding 'UTF8' template template0")
		}
		if err != nil {
			return fmt.Errorf("create the database %s: %w", name, err)
		}
	}
	return nil
}

// databaseURL is the server's URL for another of its databases.
func databaseURL(serverURL, name string) string {
	u, err := url.Parse(serverURL)
	if err != nil {
		return serverURL // it was connected to
	}
	u.Path = "/" + name
	return u.String()
}

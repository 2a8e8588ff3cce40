package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/pg"
)

// templateLock is the key of the advisory lock under which templates are made.
const templateLock = 0x66697864

// ready holds the templates that this process knows to be complete.
var ready sync.Map

// clone makes a fresh database from the template of the migrations and returns
// its name.
func clone(ctx context.Context, maintenance string, files fs.FS, dir string) (string, error) {
	sum, err := hash(files, dir)
	if err != nil {
		return "", fmt.Errorf("read the migrations: %w", err)
	}
	template := "template_" + sum
	if _, done := ready.Load(maintenance + template); !done {
		if err := makeTemplate(ctx, maintenance, template, files, dir); err != nil {
			return "", fmt.Errorf("make the template database: %w", err)
		}
		ready.Store(maintenance+template, true)
	}
	name := "test_" + strings.ToLower(rand.Text()[:16])
	if err := execute(ctx, maintenance, "create database "+quote(name)+" template "+quote(template)+" strategy file_copy"); err != nil {
		return "", fmt.Errorf("clone the template database: %w", err)
	}
	return name, nil
}

// makeTemplate migrates under another name and renames at the end, so that a
// template of its final name is complete and has no connections.
func makeTemplate(ctx context.Context, maintenance, template string, files fs.FS, dir string) error {
	return connected(ctx, maintenance, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", templateLock); err != nil {
			return err
		}
		var exists bool
		err := conn.QueryRow(ctx, "select exists (select from pg_database where datname = $1)", template).Scan(&exists)
		if err != nil || exists {
			return err
		}
		unfinished := template + "_unfinished"
		for _, statement := range []string{"drop database if exists " + quote(unfinished) + " with (force)", "create database " + quote(unfinished)} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		if err := migrate(ctx, maintenance, unfinished, files, dir); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "alter database "+quote(unfinished)+" rename to "+quote(template))
		return err
	})
}

func migrate(ctx context.Context, maintenance, database string, files fs.FS, dir string) error {
	address, err := withDatabase(maintenance, database)
	if err != nil {
		return err
	}
	pool, err := pg.Open(ctx, address, pg.Config{Application: "pgtest"})
	if err != nil {
		return err
	}
	defer pool.Close()
	return pg.Migrate(ctx, pool, files, dir, slog.New(slog.DiscardHandler))
}

func hash(files fs.FS, dir string) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", path, len(content))
		h.Write(content)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:12]), err
}

// withDatabase returns the same server's URL for another database.
func withDatabase(address, database string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("%s is no URL", EnvURL)
	}
	u.Path = "/" + database
	return u.String(), nil
}

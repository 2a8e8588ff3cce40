package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// minMajor is the oldest PostgreSQL release that the services and their tests
// support.
const minMajor = 15

// ErrNotFound means that no usable PostgreSQL is installed; its text says what to
// install.
var ErrNotFound = errors.New(`PostgreSQL ` + strconv.Itoa(minMajor) + ` or newer is not installed here. One of these will do:
  Debian, Ubuntu:  sudo apt-get install -y postgresql
  macOS:           brew install postgresql@17
  Docker:          docker run -d --name fixdesk-postgres -e POSTGRES_PASSWORD=fixdesk -p 127.0.0.1:5432:5432 postgres:17
                   and then set DATABASE_URL=postgres://postgres:fixdesk@localhost:5432/postgres
If it is installed elsewhere, set PG_BIN_DIR to the folder that holds initdb and postgres`)

// usualFolders are where packages put the binaries without adding them to
// PATH: Debian, RPM, Alpine, Homebrew (Apple silicon, Intel, Linux),
// Postgres.app.
var usualFolders = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/local/pgsql/bin",
}

// Find returns the folder that holds PostgreSQL's initdb and postgres. It looks
// at PG_BIN_DIR, PATH with symbolic links resolved, pg_config --bindir and the
// usual folders of packages, in this order and newest release first. If
// PG_BIN_DIR is set, no other folder is searched. It fails with ErrNotFound.
func Find(ctx context.Context) (string, error) {
	if dir := os.Getenv("PG_BIN_DIR"); dir != "" {
		if _, err := release(ctx, dir); err != nil {
			return "", fmt.Errorf("PG_BIN_DIR: %w", err)
		}
		return dir, nil
	}
	var refused []error
	for _, dir := range candidates(ctx) {
		_, err := release(ctx, dir)
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			refused = append(refused, err)
		}
	}
	return "", errors.Join(append([]error{ErrNotFound}, refused...)...)
}

func candidates(ctx context.Context) []string {
	var dirs []string
	for _, program := range []string{"postgres", "initdb"} {
		if path, err := exec.LookPath(program); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				dirs = append(dirs, filepath.Dir(path))
			}
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range usualFolders {
		found, _ := filepath.Glob(pattern) // fails for a bad pattern only
		slices.SortFunc(found, newestFirst)
		dirs = append(dirs, found...)
	}
	return dirs
}

var number = regexp.MustCompile(`\d+(\.\d+)?`)

func newestFirst(a, b string) int {
	version := func(path string) float64 {
		v, _ := strconv.ParseFloat(number.FindString(path), 64)
		return v
	}
	if va, vb := version(a), version(b); va != vb {
		return int(vb*10) - int(va*10)
	}
	return strings.Compare(a, b)
}

// usable holds the major release in each folder that this program asked: programs of
// tests start many servers.
var usable sync.Map

// release returns the major release of the binaries in dir, or says why they
// can't be used.
func release(ctx context.Context, dir string) (int, error) {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return 0, fmt.Errorf("no usable PostgreSQL in %s: %w", dir, err)
		}
	}
	if major, known := usable.Load(dir); known {
		return major.(int), nil
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("no usable PostgreSQL in %s: postgres --version: %w", dir, err)
	}
	major, err := strconv.Atoi(strings.SplitN(number.FindString(string(out)), ".", 2)[0])
	if err != nil {
		return 0, fmt.Errorf("no usable PostgreSQL in %s: postgres --version says %q", dir, out)
	}
	if major < minMajor {
		return 0, fmt.Errorf("PostgreSQL %d in %s is too old, %d is needed", major, dir, minMajor)
	}
	usable.Store(dir, major)
	return major, nil
}

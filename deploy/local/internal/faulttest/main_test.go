package faulttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

// shared holds what all tests use: the folder, the binaries, and a server for tests
// that don't crash it.
var shared struct {
	run    *launch.Shared
	dir    string
	server *pgserver.Server
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("FIXDESK_TEST_NAMESPACE"); dir != "" { // started by another run of this binary
		shared.dir = dir
		os.Exit(m.Run())
	}
	os.Exit(func() int {
		defer func() {
			os.RemoveAll(shared.dir)
			if shared.run != nil {
				shared.run.Close()
			}
		}()
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		stopServer(shared.server)
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	}())
}

func prepare() error {
	var err error
	if shared.run, err = launch.OpenShared(); err != nil {
		return err
	}
	if shared.dir, err = os.MkdirTemp("", "fixdesk-faults-"); err != nil {
		return err
	}
	if err := os.Chmod(shared.dir, 0o755); err != nil { // PostgreSQL's account must enter it
		return err
	}
	ctx := context.Background()
	programs, err := shared.run.Programs(ctx)
	if err != nil {
		return err
	}
	cluster, err := shared.run.Cluster(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Symlink(programs, filepath.Join(shared.dir, "bin")), os.Symlink(cluster, migrated())); err != nil {
		return err
	}
	shared.server, err = pgserver.Start(ctx, pgserver.Options{Dir: filepath.Join(shared.dir, "pg"), Template: migrated()})
	return err
}

// migrated is a cluster with both databases. All servers are copies of it, and all
// databases copies of its databases.
func migrated() string { return filepath.Join(shared.dir, "template") }

func stopServer(server *pgserver.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
	}
}

// patience is the limit of every wait, so long that a busy machine fails no test.
const patience = 4 * time.Minute

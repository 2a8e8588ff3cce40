package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
)

// folderPattern is the pattern of the data folders' names, by which the next run
// finds those of a killed one.
const folderPattern = "fixdesk-pgtest-*"

// minSpace is the free memory that a run of tests may need. With less (a
// container's /dev/shm often has 64 MiB) the data is on the disk.
const minSpace = 4 << 30

// youngest is the age below which another run may be making a folder that has no
// lock yet.
const youngest = time.Minute

// Cluster is a temporary PostgreSQL server.
type Cluster struct {
	server   *pgserver.Server
	dir      string
	template string // a cluster that others are copied from
	programs bool   // the folder's file system runs programs
}

// StartCluster starts a server for tests, after removing the folders of killed
// runs.
func StartCluster(ctx context.Context) (*Cluster, error) {
	base := os.TempDir()
	if hasSpace("/dev/shm", minSpace) {
		base = "/dev/shm"
	}
	return startIn(ctx, base)
}

func startIn(ctx context.Context, base string) (*Cluster, error) {
	removeLeftovers(ctx, base, time.Now().Add(-youngest))
	parent, err := os.MkdirTemp(base, folderPattern)
	if err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	if err := os.Chmod(parent, 0o755); err != nil {
		return nil, err
	}
	c := &Cluster{dir: parent, template: os.Getenv(pgserver.TemplateVariable), programs: runsPrograms(parent)}
	if c.template == "" {
		c.template = filepath.Join(parent, "template")
		err = pgserver.NewTemplate(ctx, c.template)
	}
	if err == nil {
		c.server, err = pgserver.Start(ctx, pgserver.Options{Dir: filepath.Join(parent, "pg"), Test: true, Template: c.template})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(parent))
	}
	// Every account writes to it, like to /tmp: tests start servers of their own there.
	if err := errors.Join(os.Mkdir(c.temp(), 0o700), os.Chmod(c.temp(), 0o777|os.ModeSticky), os.Mkdir(c.shared(), 0o755)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// URL is the value of FIXDESK_TEST_DATABASE_URL that shares this server.
func (c *Cluster) URL() string { return c.server.URL("postgres") }

// Environment is what a run of tests needs to share this server, to make others fast,
// to build the programs once, and to keep its temporary files beside the data, in memory where there is space: several servers
// that tests start cost a third of the time there.
func (c *Cluster) Environment() []string {
	environment := []string{EnvURL + "=" + c.URL(), pgserver.TemplateVariable + "=" + c.template}
	if c.programs {
		environment = append(environment, "TMPDIR="+c.temp(), launch.SharedVariable+"="+c.shared())
	}
	return environment
}

func (c *Cluster) temp() string { return filepath.Join(c.dir, "tmp") }

func (c *Cluster) shared() string { return filepath.Join(c.dir, "shared") }

// Close stops the server and removes its data.
func (c *Cluster) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(c.server.Stop(ctx), os.RemoveAll(c.dir))
}

// removeLeftovers removes the folders of killed runs, except those that are in use
// or another user's.
func removeLeftovers(ctx context.Context, base string, before time.Time) {
	folders, _ := filepath.Glob(filepath.Join(base, folderPattern)) // fails for a bad pattern only
	for _, folder := range folders {
		info, err := os.Stat(folder)
		if err != nil || info.ModTime().After(before) {
			continue
		}
		if err := pgserver.Remove(ctx, filepath.Join(folder, "pg")); err == nil {
			_ = os.RemoveAll(folder)
		}
	}
}

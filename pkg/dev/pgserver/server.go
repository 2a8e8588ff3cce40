// Package pgserver runs a private PostgreSQL server until this program ends: for
// the local stack and for tests. The data is in one folder. The server listens on a
// Unix socket in a folder that only its account may enter, and on no network
// address.
//
// It must not know what is stored in the server, and is not for production.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fixdesk/pkg/dev/subprocess"
)

// startTimeout allows for recovery after a crash, which replays the log, on a busy
// machine.
const startTimeout = 3 * time.Minute

// port is part of the socket's name, and of URLs so that PGPORT in a client's
// environment doesn't matter.
const port = "5432"

// Options are those of Start.
type Options struct {
	// Dir holds the data and the lock. It is made if absent; data of an earlier
	// start is used again.
	Dir string
	// Test turns durability off for speed: after a crash of the machine, commits
	// can be lost and the data can be corrupt.
	Test bool
	// LogFile gets the server's log; default Dir/postgres.log.
	LogFile string
	// Settings are configuration parameters that override this package's.
	Settings map[string]string
	// Template is a folder made by NewTemplate, default the value of
	// TemplateVariable. A new cluster is a copy of it, which costs a tenth of
	// making one; all copies have the same system identifier.
	Template string
}

// TemplateVariable names the environment variable with the default of
// Options.Template. Only runs of tests set it.
const TemplateVariable = "FIXDESK_TEST_CLUSTER"

// Server is a running PostgreSQL server.
type Server struct {
	options Options
	account account
	binDir  string
	socket  string
	lock    *os.File
	process *subprocess.Process
}

// Start starts a server on options.Dir, making the database cluster the first
// time. A server that an earlier, killed program left behind on it is stopped
// first. It returns when the server accepts connections, and fails with
// ErrNotFound, ErrInUse, ErrUnreachable or an error that ends with the last
// lines of the server's log.
//
// The server ends with this program, however that ends (on Linux; elsewhere a
// killed program leaves it running until the next Start on the same folder).
func Start(ctx context.Context, options Options) (*Server, error) {
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, err
	}
	options.Dir = dir
	if options.LogFile == "" {
		options.LogFile = filepath.Join(dir, "postgres.log")
	}
	if options.Template == "" {
		options.Template = os.Getenv(TemplateVariable)
	}
	s, err := newServer(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := s.prepareFolder(); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func newServer(ctx context.Context, options Options) (s *Server, err error) {
	s = &Server{options: options}
	if s.binDir, err = Find(ctx); err != nil {
		return nil, err
	}
	if s.account, err = serverAccount(); err != nil {
		return nil, err
	}
	return s, nil
}

// NewTemplate makes a cluster in the new folder dir for Options.Template. No server
// may run on it.
func NewTemplate(ctx context.Context, dir string) error {
	s, err := newServer(ctx, Options{Dir: dir, Test: true})
	if err != nil {
		return err
	}
	if err := s.account.folder(dir); err != nil {
		return err
	}
	return s.initdb(ctx, dataDir(dir))
}

func (s *Server) prepareFolder() error {
	if err := s.account.folder(s.options.Dir); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	if err := s.account.reach(s.options.Dir); err != nil {
		_ = os.Remove(s.options.Dir) // only if empty
		return err
	}
	lock, err := lockFolder(s.options.Dir)
	if err != nil {
		return err
	}
	s.lock = lock
	return nil
}

func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.makeCluster(ctx); err != nil {
		return err
	}
	if err := clearPidFile(ctx, s.dataDir()); err != nil {
		return err
	}
	var err error
	if s.socket, err = socketFolder(s.account, s.options.Dir); err != nil {
		return fmt.Errorf("make the socket folder: %w", err)
	}
	return s.launch(ctx)
}

// makeCluster makes the cluster under another name and renames it when it is
// complete, so that an interrupted one is never used.
func (s *Server) makeCluster(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	unfinished := s.dataDir() + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	fill := s.initdb
	if s.options.Template != "" {
		fill = s.copyTemplate
	}
	if err := fill(ctx, unfinished); err != nil {
		return err
	}
	return os.Rename(unfinished, s.dataDir())
}

func (s *Server) copyTemplate(ctx context.Context, dataFolder string) error {
	return s.run(ctx, "cp", "-R", dataDir(s.options.Template), dataFolder)
}

func (s *Server) initdb(ctx context.Context, dataFolder string) error {
	args := []string{
		"-D", dataFolder, "-U", "postgres", "-E", "UTF8", "--locale=C",
		"--auth-local=trust", "--auth-host=reject", "--no-instructions",
	}
	if s.options.Test {
		args = append(args, "--no-sync")
	}
	return s.run(ctx, filepath.Join(s.binDir, "initdb"), args...)
}

// run runs a program as the account to its end.
func (s *Server) run(ctx context.Context, program string, args ...string) error {
	cmd := s.account.command(s.options.Dir, program, args...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	process, err := subprocess.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return err
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return errors.Join(ctx.Err(), process.Stop(context.WithoutCancel(ctx), syscall.SIGKILL))
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("%s: %w:\n%s", filepath.Base(program), err, lastLines(output.String()))
	}
	return nil
}

func (s *Server) launch(ctx context.Context) error {
	log, err := os.OpenFile(s.options.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	before, _ := log.Seek(0, 2)

	args := []string{"-D", s.dataDir()}
	for name, value := range s.settings() {
		args = append(args, "-c", name+"="+value)
	}
	cmd := s.account.command(s.options.Dir, filepath.Join(s.binDir, "postgres"), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A test server's data is not needed any more.
	onParentDeath := syscall.SIGINT
	if s.options.Test {
		onParentDeath = syscall.SIGQUIT
	}
	if s.process, err = subprocess.Start(cmd, onParentDeath); err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		_ = s.process.Stop(context.Background(), syscall.SIGQUIT)
		text, _ := os.ReadFile(s.options.LogFile)
		text = text[min(int(before), len(text)):]
		return fmt.Errorf("PostgreSQL does not start: %w; its log %s ends:\n%s", err, s.options.LogFile, lastLines(string(text)))
	}
	return nil
}

func (s *Server) settings() map[string]string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": s.socket,
		"unix_socket_permissions": "0700",
		"port":                    port, // names the socket
		"max_connections":         "200",
		"logging_collector":       "off",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	if s.options.Test {
		settings["max_connections"] = "600"
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	for name, value := range s.options.Settings {
		settings[name] = value
	}
	return settings
}

// waitReady waits for the line of the pid file that says that the server accepts
// connections, as pg_ctl does.
func (s *Server) waitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.process.Done():
			return s.process.Err()
		case <-tick.C:
			file, err := readPidFile(s.dataDir())
			if err == nil && file.pid == s.process.Pid() && file.status == "ready" {
				return nil
			}
		}
	}
}

// URL returns the URL of one of the server's databases, for pgx and psql. It holds
// no secret: every account that may enter the socket's folder is trusted.
func (s *Server) URL(database string) string {
	return "postgres://postgres@/" + url.PathEscape(database) + "?host=" + strings.ReplaceAll(url.QueryEscape(s.socket), "%2F", "/") + "&port=" + port
}

// BinDir is the folder of the server's programs, psql and pgbench among them
// where they are installed.
func (s *Server) BinDir() string { return s.binDir }

// Pid is the process id of the server's first process.
func (s *Server) Pid() int { return s.process.Pid() }

// Done is closed when the server has ended.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Stop shuts the server down: connections are closed at once, data is written.
// If ctx ends first the server is stopped without writing, and recovers at the
// next start. Stop is needed after the server ended by itself, too, since it
// unlocks the folder. It may be called once.
func (s *Server) Stop(ctx context.Context) error {
	err := s.process.Stop(ctx, syscall.SIGINT, syscall.SIGQUIT)
	s.release()
	return err
}

func (s *Server) release() {
	if s.socket != "" {
		_ = os.RemoveAll(s.socket)
	}
	_ = s.lock.Close()
}

func (s *Server) dataDir() string { return dataDir(s.options.Dir) }

func dataDir(dir string) string { return filepath.Join(dir, "data") }

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/subprocess"
	"fixdesk/pkg/jwtauth"

	"github.com/jackc/pgx/v5"
)

// stack is a PostgreSQL with its data on the disk and safe settings, and the
// services that run on it.
type stack struct {
	root, dir string
	keep      bool
	postgres  *pgserver.Server
	admin     *pgx.Conn // of the database postgres
	keys      *jwtauth.KeySet
	jwks      *httptest.Server // the keys, where no CRM runs
	filled    []string         // databases of tickets that several measurements use
	services  []*launch.Service
	sinks     []*subprocess.Process
	peak      map[string]int64  // resident bytes of each service, at most
	ops       map[string]string // operations listeners by service; nil for none
}

// startStack returns a stack, which must be stopped even after an error.
func startStack(ctx context.Context, o options) (*stack, error) {
	s := &stack{keep: o.keep, peak: map[string]int64{}}
	var err error
	if s.root, err = launch.Repository(); err != nil {
		return s, fmt.Errorf("run this inside the Fixdesk repository: %w", err)
	}
	if s.dir, err = os.MkdirTemp(o.dir, "fixdesk-bench-"); err != nil {
		return s, err
	}
	// The account that runs PostgreSQL must be able to enter.
	if err := os.Chmod(s.dir, 0o711); err != nil {
		return s, err
	}
	progress("building the services and starting PostgreSQL in %s", s.dir)
	if err := launch.Build(ctx, s.dir); err != nil {
		return s, err
	}
	s.postgres, err = pgserver.Start(ctx, pgserver.Options{
		Dir: filepath.Join(s.dir, "postgres"), LogFile: filepath.Join(s.dir, "postgres.log"),
		Settings: map[string]string{
			"max_wal_size": "4GB", "log_checkpoints": "off",
			// for the indexes of a million rows
			"maintenance_work_mem": "256MB",
		},
	})
	if err != nil {
		return s, err
	}
	if s.admin, err = pgx.Connect(ctx, s.postgres.URL("postgres")); err != nil {
		return s, err
	}
	return s, s.makeKeys(ctx)
}

// makeKeys makes the keys that sign tokens, as an operator does.
func (s *stack) makeKeys(ctx context.Context) error {
	file := filepath.Join(s.dir, "keys.json")
	if output, err := exec.CommandContext(ctx, filepath.Join(s.dir, "crm"), "keys", "rotate", "--file", file).CombinedOutput(); err != nil {
		return fmt.Errorf("make the signing keys: %w\n%s", err, output)
	}
	var err error
	if s.keys, err = jwtauth.LoadKeySet(file); err != nil {
		return err
	}
	jwks, err := s.keys.JWKS()
	if err != nil {
		return err
	}
	s.jwks = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(jwks)
	}))
	return nil
}

func (s *stack) stop() error {
	s.stopServices()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if s.jwks != nil {
		s.jwks.Close()
	}
	var failed []error
	if s.admin != nil {
		failed = append(failed, s.admin.Close(ctx))
	}
	if s.postgres != nil {
		failed = append(failed, s.postgres.Stop(ctx))
	}
	if s.dir != "" && s.keep {
		progress("kept %s", s.dir)
	} else if s.dir != "" {
		failed = append(failed, os.RemoveAll(s.dir))
	}
	return errors.Join(failed...)
}

// startService starts a service's program and waits until it is ready. Its log
// goes to a file, as in the local stack.
func (s *stack) startService(ctx context.Context, name string, variables map[string]string) (*launch.Service, error) {
	addr, err := launch.FreeAddress()
	if err != nil {
		return nil, err
	}
	ops, err := s.opsAddress(name)
	if err != nil {
		return nil, err
	}
	prefix := strings.ToUpper(name) + "_"
	environment := []string{"PATH=" + os.Getenv("PATH"), prefix + "ADDR=" + addr, prefix + "OPS_ADDR=" + ops}
	for _, name := range []string{"GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"} { // for experiments
		if value, set := os.LookupEnv(name); set {
			environment = append(environment, name+"="+value)
		}
	}
	for variable, value := range variables {
		environment = append(environment, prefix+variable+"="+value)
	}
	svc, err := launch.Start(launch.Options{
		Name: name, Program: filepath.Join(s.dir, name), Address: addr, Dir: s.dir, Environment: environment,
		LogFile: filepath.Join(s.dir, name+".log"),
	})
	if err != nil {
		return nil, err
	}
	s.services = append(s.services, svc)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return svc, svc.WaitReady(ctx)
}

// stopServices stops them and the mail sinks, between two measurements.
func (s *stack) stopServices() {
	for _, svc := range s.services {
		s.stopService(svc)
	}
	for _, sink := range s.sinks {
		_ = sink.Stop(context.Background(), syscall.SIGKILL)
	}
	s.services, s.sinks = nil, nil
}

// stopService records the service's peak memory and stops it. It may be called
// again.
func (s *stack) stopService(svc *launch.Service) {
	if resident := peakResident(svc.Pid()); resident > s.peak[svc.Name] {
		s.peak[svc.Name] = resident
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := svc.Terminate(ctx); err != nil {
		progress("%v", err)
	}
}

// startCRM starts the CRM on a database. With closedURL it has no notification
// service, and its dispatcher does nothing but retry.
func (s *stack) startCRM(ctx context.Context, database, notificationURL string) (*launch.Service, error) {
	return s.startService(ctx, "crm", map[string]string{
		"DATABASE_URL": s.postgres.URL(database), "KEYS_FILE": filepath.Join(s.dir, "keys.json"),
		"NOTIFICATION_URL": notificationURL,
		"TICKETS_PER_HOUR": "1000000000", "RATE_LIMIT": "off", "RATE_LIMIT_NETWORK": "off", // the benchmark has few customers
	})
}

// closedURL is a URL at which nothing listens: port 1 is tcpmux.
const closedURL = "http://127.0.0.1:1"

// startNotification starts the notification service on a database, with more variables
// than those that it needs, nil for none.
func (s *stack) startNotification(ctx context.Context, database, smtp string, more map[string]string) (*launch.Service, error) {
	variables := map[string]string{
		"DATABASE_URL": s.postgres.URL(database), "JWKS_URL": s.jwks.URL, "SMTP_URL": "smtp://" + smtp, "RATE_LIMIT": "off",
	}
	maps.Copy(variables, more)
	return s.startService(ctx, "notification", variables)
}

// memoryBar is in bytes.
const memoryBar = 64 << 20

// memory returns a line with the peak resident memory of each service.
func (s *stack) memory() []line {
	var lines []line
	for _, name := range []string{"crm", "notification"} {
		if bytes := s.peak[name]; bytes > 0 {
			lines = append(lines, line{
				work: "resident memory of " + name + ", at most", ours: fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)),
				bar: "≤ 64 MiB", met: bytes <= memoryBar,
			})
		}
	}
	return lines
}

// peakResident reads VmHWM (proc(5)); 0 where there is none.
func peakResident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return memoryField(string(text), "VmHWM:")
}

func memoryField(status, name string) int64 {
	var kilobytes int64
	_, rest, _ := strings.Cut(status, name)
	_, _ = fmt.Sscan(rest, &kilobytes)
	return kilobytes << 10
}

// migrate runs a service's migrations on a database.
func (s *stack) migrate(ctx context.Context, database, service string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.dir, service), "migrate")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), strings.ToUpper(service) + "_DATABASE_URL=" + s.postgres.URL(database)}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate %s: %w\n%s", database, err, output)
	}
	return nil
}

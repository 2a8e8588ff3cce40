package app_test

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// binary returns the path of the real program, built once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "notification")
	// A process that is forked meanwhile inherits the open file, and starting the
	// program then fails with "text file busy".
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, program, 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() ([]byte, error) {
	shared, err := launch.OpenShared()
	if err != nil {
		return nil, err
	}
	defer shared.Close()
	bin, err := shared.Programs(context.Background())
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(bin, "notification"))
})

// process is the real program, running.
type process struct {
	*notifyapi.Client
	*launch.Service
	config app.Config
	log    *logBuffer
}

func environment(c app.Config) []string {
	return append(os.Environ(),
		"NOTIFICATION_ADDR="+c.Addr,
		"NOTIFICATION_OPS_ADDR=off",
		"NOTIFICATION_DATABASE_URL="+c.DatabaseURL.Reveal(),
		"NOTIFICATION_DATABASE_POOL_SIZE="+strconv.Itoa(int(c.DatabasePoolSize)),
		"NOTIFICATION_JWKS_URL="+c.JWKSURL,
		"NOTIFICATION_SMTP_URL="+c.SMTPURL.Reveal(),
		"NOTIFICATION_SMTP_CONNECTIONS="+strconv.Itoa(c.SMTPConnections),
		"NOTIFICATION_MAIL_FROM="+c.MailFrom,
		"NOTIFICATION_RETRY_BASE="+c.RetryBase.String(),
		"NOTIFICATION_RETRY_CAP="+c.RetryCap.String(),
		"NOTIFICATION_POLL_INTERVAL="+c.PollInterval.String(),
		"NOTIFICATION_LEASE="+c.Lease.String(),
		"NOTIFICATION_REQUEST_TIMEOUT="+c.RequestTimeout.String(),
		"NOTIFICATION_SHUTDOWN_TIMEOUT="+c.ShutdownTimeout.String(),
		"NOTIFICATION_INBOUND_ADDR="+cmp.Or(string(c.Inbound.Addr), "off"),
		"NOTIFICATION_INBOUND_DOMAINS="+strings.Join(c.Inbound.Domains, ","),
		"NOTIFICATION_INBOUND_PROTOCOL="+cmp.Or(string(c.Inbound.Protocol), "smtp"),
		"NOTIFICATION_INBOUND_MAILS_PER_MINUTE=1000000",
		"NOTIFICATION_IMAP_URL="+c.IMAPURL.Reveal(),
	)
}

func run(t testing.TB, i *issuer, c app.Config) *process {
	t.Helper()
	return runProgram(t, i, c, binary(t))
}

// runAgain kills the process and starts its program anew.
func (p *process) runAgain(t testing.TB, i *issuer) *process {
	t.Helper()
	p.Kill()
	return runProgram(t, i, p.config, p.Program)
}

func runProgram(t testing.TB, i *issuer, c app.Config, program string) *process {
	t.Helper()
	p := &process{config: c, log: newLogBuffer()}
	var err error
	p.Service, err = launch.Start(launch.Options{
		Name: "notification", Program: program, Address: c.Addr, Environment: environment(c), Log: p.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	p.Client = i.client(t, p.log.url(t))
	return p
}

// terminate sends SIGTERM and returns how the process ended.
func (p *process) terminate(t testing.TB) error {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	return p.wait(t)
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns how the process ended after a signal.
func (p *process) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.Done():
		return p.Err()
	case <-time.After(waitLimit):
		p.Kill()
		t.Fatalf("did not end by itself:\n%s", p.log)
		return nil
	}
}

func TestHelpIsPrintedAndUnknownCommandsAreRefused(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(binary(t), "help").Output()
	if err != nil || !strings.Contains(string(out), "NOTIFICATION_SMTP_URL") || !strings.Contains(string(out), "notification migrate") {
		t.Errorf("help: %v\n%s", err, out)
	}
	out, err = exec.Command(binary(t), "frobnicate").CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 2 {
		t.Errorf("unknown command: %v\n%s", err, out)
	}
	bad := exec.Command(binary(t))
	bad.Env = append(os.Environ(), "NOTIFICATION_LEASE=10ms")
	out, err = bad.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "NOTIFICATION_LEASE must be at least") {
		t.Errorf("with a short lease: %v\n%s", err, out)
	}
}

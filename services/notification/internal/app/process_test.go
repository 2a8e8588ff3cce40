package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// binary returns the real program, built once for all tests.
func binary(t testing.TB) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "notification")
	// A process that is forked meanwhile would inherit the open file, and starting
	// the program would fail with "text file busy".
	syscall.ForkLock.RLock()
	err = os.WriteFile(path, program, 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fixdesk-notification-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "notification")
	out, err := exec.Command("go", "build", "-o", path, "fixdesk/services/notification/cmd/notification").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// process is the real program, running.
type process struct {
	*notifyapi.Client
	config app.Config
	log    *lines
	cmd    *exec.Cmd
	read   sync.WaitGroup
}

func environment(c app.Config) []string {
	return append(os.Environ(),
		"NOTIFICATION_ADDR="+c.Addr,
		"NOTIFICATION_DATABASE_URL="+c.DatabaseURL.Reveal(),
		"NOTIFICATION_JWKS_URL="+c.JWKSURL,
		"NOTIFICATION_SMTP_URL="+c.SMTPURL.Reveal(),
		"NOTIFICATION_SMTP_CONNECTIONS="+strconv.Itoa(c.SMTPConnections),
		"NOTIFICATION_MAIL_FROM="+c.MailFrom,
		"NOTIFICATION_RETRY_BASE="+c.RetryBase.String(),
		"NOTIFICATION_RETRY_CAP="+c.RetryCap.String(),
		"NOTIFICATION_POLL_INTERVAL="+c.PollInterval.String(),
		"NOTIFICATION_LEASE="+c.Lease.String(),
		"NOTIFICATION_SHUTDOWN_TIMEOUT="+c.ShutdownTimeout.String(),
	)
}

func run(t testing.TB, i *issuer, c app.Config) *process {
	t.Helper()
	p := &process{config: c, log: newLines(), cmd: exec.Command(binary(t))}
	p.cmd.Env = environment(c)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.read.Go(func() { p.log.follow(stderr) })
	t.Cleanup(func() { p.kill() })
	p.Client = i.client(t, p.log.url(t))
	return p
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.read.Wait()
	_ = p.cmd.Wait()
}

// terminate asks it to end and returns how it did.
func (p *process) terminate(t testing.TB) error {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	return p.wait(t)
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// wait returns how the process ended after a signal.
func (p *process) wait(t testing.TB) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		p.read.Wait()
		ended <- p.cmd.Wait()
	}()
	select {
	case err := <-ended:
		return err
	case <-time.After(30 * time.Second):
		p.kill()
		t.Fatalf("did not end by itself (%v):\n%s", <-ended, p.log)
		return nil
	}
}

// trials is how often a suite of faults is repeated: FIXDESK_TRIALS, or few.
func trials(t testing.TB, few int) int {
	t.Helper()
	text := os.Getenv("FIXDESK_TRIALS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatal("FIXDESK_TRIALS must be a positive number")
	}
	return n
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

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"fixdesk/pkg/dev/subprocess"
	"fixdesk/pkg/notifyapi"
)

// maxLogBytes is the size above which a log is put aside at the next start.
const maxLogBytes = 16 << 20

// checkServices has both services check the variables that they would get, so
// that every bad value is reported before anything is started.
func (st *stack) checkServices(ctx context.Context) error {
	var bad []error
	for _, check := range []struct {
		name        string
		environment []string
	}{{"crm", st.crmEnvironment()}, {"notification", st.notificationEnvironment()}} {
		cmd := exec.CommandContext(ctx, filepath.Join(st.bin, check.name), "check")
		cmd.Env = check.environment
		output, err := cmd.CombinedOutput()
		text := strings.TrimPrefix(strings.TrimSpace(string(output)), check.name+": ")
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fmt.Errorf("there is no program %s in %s; start Fixdesk with make run", check.name, st.bin)
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			bad = append(bad, errors.New(text))
		case text != "":
			st.print(text)
		}
	}
	return errors.Join(bad...)
}

// service is one of the two, running.
type service struct {
	name    string
	log     string
	start   int64 // where this run's lines begin in the log
	process *subprocess.Process
}

// startService starts a service's binary with the given environment. It is
// killed if this program dies without stopping it.
func startService(s *settings, name string, environment []string) (*service, error) {
	svc := &service{name: name, log: s.path(name + ".log")}
	if info, err := os.Stat(svc.log); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(svc.log, svc.log+".old"); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(svc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if info, err := log.Stat(); err == nil {
		svc.start = info.Size()
	}
	cmd := exec.Command(filepath.Join(s.bin, name), "serve")
	cmd.Dir = s.State
	cmd.Env = environment
	cmd.Stdout, cmd.Stderr = log, log
	svc.process, err = subprocess.Start(cmd, syscall.SIGKILL)
	return svc, err
}

// waitReady waits until the service is ready.
func (svc *service) waitReady(ctx context.Context, address string) error {
	client := http.Client{Timeout: 2 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-svc.process.Done():
			return svc.ended()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not ready after %v; %s", svc.name, readyTimeout, svc.logEnd())
			}
			return ctx.Err()
		case <-tick.C:
		}
		response, err := client.Get("http://" + address + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// stop has the service finish its work until ctx ends, then kills it.
func (svc *service) stop(ctx context.Context) error {
	if err := svc.process.Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", svc.name, err)
	}
	return nil
}

// ended is the error of a service that ended by itself.
func (svc *service) ended() error {
	how := "exit status 0"
	if err := svc.process.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); %s", svc.name, how, svc.logEnd())
}

func (svc *service) logEnd() string {
	return fmt.Sprintf("the last lines of %s:\n%s", svc.log, lastLines(svc.log, svc.start))
}

// lastLines is the end of a log, of what was written after start bytes.
func lastLines(path string, start int64) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text[min(start, int64(len(text))):])), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}

const tokenUsage = `A token needs a scope:

  make token SCOPE="notifications:read notifications:write" [SUBJECT=ops] [TTL=1h]

Scopes:
  %-22s send notifications
  %-22s read notifications and their results
  %-22s cancel and retry

SUBJECT is the name of the client that will use the token, TTL how long it is
good (1h without it).
`

// token runs "crm token" with the stack's keys. A first argument that is no
// flag is the scope.
func token(ctx context.Context, arguments []string, out, errOut *os.File) int {
	s, err := readSettings()
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1
	}
	if len(arguments) == 0 {
		fmt.Fprintf(errOut, tokenUsage, notifyapi.ScopeWrite, notifyapi.ScopeRead, notifyapi.ScopeManage)
		return 2
	}
	keys := s.keysFile()
	if _, err := os.Stat(keys); err != nil {
		fmt.Fprintf(errOut, "There is no stack in %s yet: start it with make run first.\n", s.State)
		return 1
	}
	if !strings.HasPrefix(arguments[0], "-") {
		arguments = append([]string{"--scope"}, arguments...)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "crm"), append([]string{"token"}, arguments...)...)
	cmd.Env = environment("CRM_", map[string]string{"CRM_KEYS_FILE": keys})
	cmd.Stdout, cmd.Stderr = out, errOut
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1)
	case err != nil:
		fmt.Fprintln(errOut, err)
		return 1
	}
	return 0
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/notifyapi"
)

// maxLogBytes is the size above which a log is rotated at the next start.
const maxLogBytes = 16 << 20

// checkServices runs "check" of both services with their environment, so that every
// bad value is reported before anything is started.
func (st *stack) checkServices(ctx context.Context) error {
	var bad []error
	for _, check := range []struct {
		name, database string
		environment    []string
	}{{"crm", crmDatabase, st.crmEnvironment()}, {"notification", notificationDatabase, st.notificationEnvironment()}} {
		cmd := exec.CommandContext(ctx, filepath.Join(st.bin, check.name), "check")
		// The server of a database that isn't given is not known yet.
		cmd.Env = append(check.environment, check.database+"="+givenOr(check.database, "postgres:///"+check.name))
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

// startService starts a service's program with the given environment.
func startService(s *settings, name, address string, environment []string) (*launch.Service, error) {
	log := s.path(name + ".log")
	if info, err := os.Stat(log); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(log, log+".old"); err != nil {
			return nil, err
		}
	}
	return launch.Start(launch.Options{
		Name: name, Program: filepath.Join(s.bin, name), Address: dialable(address, "127.0.0.1"),
		Dir: s.State, Environment: environment, LogFile: log,
	})
}

// lastLines returns the end of a log.
func lastLines(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}

const tokenUsage = `A token needs a scope:

  make token SCOPE="notifications:read notifications:write" [SUBJECT=ops] [TTL=1h]

Scopes:
` + notifyapi.ScopesHelp + `
SUBJECT is the name of the client that will use the token, TTL how long it is
good (1h without it).
`

// token runs "crm token" with the stack's keys. A first argument that is not a flag
// is the scope.
func token(ctx context.Context, arguments []string, out, errOut *os.File) int {
	s, err := readSettings()
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1
	}
	if len(arguments) == 0 {
		fmt.Fprint(errOut, tokenUsage)
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

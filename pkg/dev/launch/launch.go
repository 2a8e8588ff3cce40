// Package launch builds and starts the services' programs: for the local stack,
// the tests of faults and the benchmark.
package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"fixdesk/pkg/dev/subprocess"
)

// Programs are the packages of the services' programs, by their names.
var Programs = map[string]string{
	"crm":          "fixdesk/services/crm/cmd/crm",
	"notification": "fixdesk/services/notification/cmd/notification",
}

// Options describe one process of a service.
type Options struct {
	Name    string // in messages
	Program string // path of the program, which is run with "serve"
	Address string // host:port at which its /readyz is asked
	Dir     string // working folder; "" is the caller's
	// Environment is the whole environment, as NAME=value.
	Environment []string
	// LogFile is a file to which standard output and error are appended.
	LogFile string
	// Log receives them in its place.
	Log io.Writer
}

// Service is a process of a service. It is killed when the program that started it
// ends.
type Service struct {
	*subprocess.Process
	Options
	logStart int64 // size of LogFile before this process
}

// Start starts a service without waiting for it.
func Start(o Options) (*Service, error) {
	s := &Service{Options: o}
	cmd := exec.Command(o.Program, "serve")
	cmd.Dir, cmd.Env = o.Dir, o.Environment
	cmd.Stdout, cmd.Stderr = o.Log, o.Log
	if o.LogFile != "" {
		log, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		if info, err := log.Stat(); err == nil {
			s.logStart = info.Size()
		}
		cmd.Stdout, cmd.Stderr = log, log
	}
	var err error
	if s.Process, err = subprocess.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	return s, nil
}

// WaitReady waits until /readyz is answered 200. It fails when the process ends
// or ctx does, with the end of the log.
func (s *Service) WaitReady(ctx context.Context) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.Done():
			return s.Ended()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("%s is not ready in time; %s", s.Name, s.LogEnd())
			}
			return ctx.Err()
		case <-tick.C:
		}
		response, err := client.Get("http://" + s.Address + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// Terminate sends SIGTERM, lets the service finish its work until ctx ends, and
// kills it then, which is an error.
func (s *Service) Terminate(ctx context.Context) error {
	if err := s.Process.Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.Name, err)
	}
	return nil
}

// Kill sends SIGKILL and returns when the process has ended.
func (s *Service) Kill() {
	_ = s.Signal(syscall.SIGKILL)
	<-s.Done()
}

// Ended returns the error of a service that ended by itself.
func (s *Service) Ended() error {
	how := "exit status 0"
	if err := s.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); %s", s.Name, how, s.LogEnd())
}

// LogEnd returns the last ten lines that the process wrote to LogFile, for a
// message, without those of the level INFO.
func (s *Service) LogEnd() string {
	if s.LogFile == "" {
		return "see its log"
	}
	text, err := os.ReadFile(s.LogFile)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(string(text[min(s.logStart, int64(len(text))):])), "\n") {
		var entry struct{ Level string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Level != "INFO" {
			lines = append(lines, line)
		}
	}
	return fmt.Sprintf("the last lines of %s:\n  %s", s.LogFile, strings.Join(lines[max(0, len(lines)-10):], "\n  "))
}

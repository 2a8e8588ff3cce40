package launch_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/launch"
)

// script returns the path of a shell script that is started as a service.
func script(t *testing.T, body string) launch.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service")
	// A process that another test starts meanwhile would inherit the open file,
	// and a program that is open for writing can't be run.
	syscall.ForkLock.RLock()
	err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return launch.Options{Name: "service", Program: path, Address: address, LogFile: path + ".log"}
}

func TestServiceThatEndsIsReportedWithItsOwnLog(t *testing.T) {
	t.Parallel()
	o := script(t, "echo $1: no database >&2; exit 3")
	if err := os.WriteFile(o.LogFile, []byte("an earlier run\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := launch.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	err = s.WaitReady(t.Context())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "serve: no database") || strings.Contains(err.Error(), "earlier") {
		t.Errorf("got %v", err)
	}
}

func TestServiceThatIsNotReadyInTimeIsKilled(t *testing.T) {
	t.Parallel()
	s, err := launch.Start(script(t, "trap '' TERM; echo waits; while :; do sleep 1; done"))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(s.LogFile)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "waits") { // SIGTERM is ignored now
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the script wrote %q", text)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := s.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "not ready in time") {
		t.Errorf("WaitReady: %v", err)
	}
	if err := s.Terminate(ctx); err == nil {
		t.Error("a service that ignores SIGTERM ended without an error")
	}
	s.Kill()
}

package app_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// freeze stops a process and its children as SIGSTOP does, until thaw is called.
func freeze(t *testing.T, pid int) (thaw func()) {
	t.Helper()
	send := func(signal syscall.Signal) {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, field := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			_ = syscall.Kill(child, signal) // one that just ended needs none
		}
	}
	send(syscall.SIGSTOP)
	return func() { send(syscall.SIGCONT) }
}

// answers reports whether the database answers a query within the time.
func answers(ctx context.Context, conn *pgx.Conn, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := conn.Exec(ctx, "select 1")
	return err == nil
}

func TestFrozenDatabaseDoesNotDelayTheStopAndNoMailIsLost(t *testing.T) {
	t.Parallel()
	server, _ := ownPostgres(t)
	url := createDatabase(t, server)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	hook, held, releaseMails := heldMails(20)
	smtp := startSMTP(t, hook)
	t.Cleanup(releaseMails)
	i := newIssuer(t)
	c := testConfig(url, i.url, smtp.Addr())
	c.Lease, c.ShutdownTimeout = 2*time.Second, 4*time.Second
	s := start(t, i, c)
	l := startLoad(4, "frozen", s.Client)
	eventually(t, "mails are on the wire", func() bool { return held() == c.SMTPConnections })
	if !answers(t.Context(), conn, waitLimit) {
		t.Fatal("the database does not answer before it is frozen")
	}
	thaw := freeze(t, server.Pid())
	t.Cleanup(thaw) // a frozen process can't be stopped after a failed test
	if answers(t.Context(), conn, 100*time.Millisecond) {
		t.Fatal("the database answers though it is frozen: the trial can't fail")
	}
	releaseMails() // their results can't be stored now
	begin := time.Now()
	_ = s.stop() // fails when its time was used up
	// The limit is twice the time that the stop may take, for a busy machine.
	if took := time.Since(begin); took > 2*c.ShutdownTimeout {
		t.Errorf("the stop took %v, want at most %v", took, c.ShutdownTimeout)
	}
	thaw()
	l.stop()
	c.Addr = "127.0.0.1:0"
	start(t, i, c)
	drained(t, url, waitLimit)
	got := counts(smtp.Messages())
	for to := range l.acked {
		if got[to] == 0 {
			t.Errorf("%s lost its mail", to)
		}
	}
	report(t, differingRepeats(smtp.Messages()))
}

func TestFrozenDatabaseIsLoggedOnceByAllJobs(t *testing.T) {
	t.Parallel()
	server, _ := ownPostgres(t)
	smtp := startSMTP(t, nil)
	i := newIssuer(t)
	// A call ends 5 s after the time limit of statements.
	s := start(t, i, testConfig(createDatabase(t, server)+"&statement_timeout=1000", i.url, smtp.Addr()))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log)
		}
	})
	thaw := freeze(t, server.Pid())
	t.Cleanup(thaw)
	failing := regexp.MustCompile(`(?m)^background_failures_total\{task="[^"]+"\} [1-9]`)
	eventually(t, "several jobs fail, and it is logged", func() bool {
		return strings.Contains(s.log.String(), "background jobs have no database") && len(failing.FindAllString(ops(t, s, "/metrics"), -1)) >= 4
	})
	thaw()
	eventually(t, "the end is logged", func() bool { return strings.Contains(s.log.String(), "background jobs have their database again") })
	text := s.log.String()
	if n := strings.Count(text, "background jobs have no database"); n != 1 || strings.Contains(text, "background job fails") {
		t.Errorf("%d lines of an outage, or lines of jobs", n)
	}
}

package pgserver_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/pgserver"
)

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 2 minutes: %s", what)
		}
	}
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z")
}

// launch runs this binary as a separate launcher.
func launch(t *testing.T, dir string) (launcher *exec.Cmd, server int, url string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), launcherDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	first, url, _ := strings.Cut(strings.TrimSpace(line), " ")
	server, err = strconv.Atoi(first)
	if err != nil {
		t.Fatal(line)
	}
	return cmd, server, url
}

func kill(t *testing.T, launcher *exec.Cmd) {
	t.Helper()
	if err := launcher.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = launcher.Wait()
}

func TestServerEndsWithItsKilledLauncherAndTheNextStartRecovers(t *testing.T) {
	dir := folder(t)
	launcher, server, url := launch(t, dir)
	exec1(t, url, "create table kept as select 'acknowledged' as note")
	if !running(server) {
		t.Fatal("control: the server should be running now")
	}
	kill(t, launcher)

	s := start(t, pgserver.Options{Dir: dir})
	defer stop(t, s)
	if running(server) {
		t.Errorf("process %d still runs", server)
	}
	if got := exec1(t, s.URL("postgres"), "select note from kept"); got != "acknowledged" {
		t.Errorf("read %q", got)
	}
}

func TestStartRecoversAfterLauncherAndServerAreKilled(t *testing.T) {
	dir := folder(t)
	for round := range 3 {
		launcher, server, url := launch(t, dir)
		exec1(t, url, fmt.Sprintf("create table kept%d as select 1", round))
		if err := syscall.Kill(server, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		kill(t, launcher)
	}
	s := start(t, pgserver.Options{Dir: dir})
	defer stop(t, s)
	if got := exec1(t, s.URL("postgres"), "select count(*)::text from pg_tables where tablename like 'kept%'"); got != "3" {
		t.Errorf("%s of 3 acknowledged tables", got)
	}
}

func TestPidFileOfAZombieOrAnotherProcessPreventsNoStart(t *testing.T) {
	other := exec.Command("sleep", "1000")
	zombie := exec.Command("true")
	for _, cmd := range []*exec.Cmd{other, zombie} {
		if os.Geteuid() == 0 { // else PostgreSQL itself recognizes another user's process
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: postgresAccount(t)}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait(); _ = zombie.Wait() }()
	eventually(t, "true has ended", func() bool { return !running(zombie.Process.Pid) })

	for name, cmd := range map[string]*exec.Cmd{"other": other, "zombie": zombie} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			s := start(t, pgserver.Options{Dir: dir})
			pidFile, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(s.Pid(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-s.Done()
			_ = s.Stop(t.Context())
			_, rest, _ := strings.Cut(string(pidFile), "\n")
			text := fmt.Sprintf("%d\n%s", cmd.Process.Pid, rest)
			if err := os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			s = start(t, pgserver.Options{Dir: dir})
			stop(t, s)
		})
	}
	if !running(other.Process.Pid) {
		t.Error("the other process was stopped")
	}
}

package subprocess_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fixdesk/pkg/dev/subprocess"
)

// parent, set, turns this test binary into a program that starts a child,
// prints its process id, and waits to be killed.
const parent = "SUBPROCESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parent) != "" {
		p, err := subprocess.Start(exec.Command("sleep", "1000"), syscall.SIGKILL)
		if err != nil {
			panic(err)
		}
		fmt.Println(p.Pid())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func exists(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestChildIsKilledWhenItsParentIs(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parent+"=1")
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
	child, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !exists(child) {
		t.Fatal("control: the child should be running now")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for deadline := time.Now().Add(time.Minute); exists(child); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child still runs")
		}
	}
}

func TestStopEscalatesUntilTheChildEnds(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		wantOK bool
	}{
		"ends at the first signal": {"echo ready; exec sleep 1000", true},
		"ends at the second":       {"trap '' TERM; echo ready; while :; do sleep 0.01; done", false},
		"ends at SIGKILL only":     {"trap '' TERM QUIT; echo ready; while :; do sleep 0.01; done", false},
	} {
		t.Run(name, func(t *testing.T) {
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			cmd := exec.Command("sh", "-c", test.script)
			cmd.Stdout = in
			p, err := subprocess.Start(cmd, syscall.SIGKILL)
			in.Close()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if !test.wantOK {
				cancel() // it ignores the signal
			}
			err = p.Stop(ctx, syscall.SIGTERM, syscall.SIGQUIT)
			if (err == nil) != test.wantOK {
				t.Errorf("got %v", err)
			}
			if exists(p.Pid()) {
				t.Error("still running")
			}
			if err := p.Signal(syscall.SIGTERM); err != nil {
				t.Errorf("signalling a child that has ended: %v", err)
			}
		})
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	if _, err := subprocess.Start(exec.Command("/nonexistent/program"), syscall.SIGKILL); err == nil || !strings.Contains(err.Error(), "/nonexistent/program") {
		t.Errorf("got %v", err)
	}
}

package pgtest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const waitForKill = "PGTEST_TEST_WAIT_FOR_KILL_IN"

// TestClusterThatWaitsToBeKilled is the program of the test below, not a test.
func TestClusterThatWaitsToBeKilled(t *testing.T) {
	base := os.Getenv(waitForKill)
	if base == "" {
		return
	}
	cluster, err := startIn(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("dir " + cluster.dir + "\n")
	select {}
}

func TestFilesOfAKilledRunAreRemovedByTheNext(t *testing.T) {
	base, err := os.MkdirTemp("", "pgtest-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestClusterThatWaitsToBeKilled$")
	cmd.Env = append(os.Environ(), waitForKill+"="+base)
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
	dir := strings.TrimSpace(strings.TrimPrefix(line, "dir "))
	removeLeftovers(t.Context(), base, time.Now().Add(time.Hour))
	if _, err := os.Stat(dir); err != nil {
		t.Fatal("the folder of a living run was removed")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	removeLeftovers(t.Context(), base, time.Now().Add(-time.Hour))
	if _, err := os.Stat(dir); err != nil {
		t.Fatal("a folder that may be just being made was removed")
	}
	removeLeftovers(t.Context(), base, time.Now().Add(time.Hour))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

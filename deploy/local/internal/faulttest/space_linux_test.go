package faulttest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/subprocess"
	"fixdesk/pkg/dev/trials"
)

// insideNamespace makes the test binary run the test below in a mount namespace
// of its own, which ends with the process and its mount.
const insideNamespace = "FIXDESK_TEST_NAMESPACE"

func TestFullDiskIsAnswered503AndTheDatabaseStaysConsistent(t *testing.T) {
	trials.Long(t)
	if os.Getenv(insideNamespace) == "" {
		t.Parallel()
		inNamespace(t)
		return
	}
	disk := t.TempDir()
	for dir := disk; dir != "/"; dir = filepath.Dir(dir) { // PostgreSQL's account must pass
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o001 == 0 && os.Chmod(dir, 0o755) != nil {
			t.Fatal(dir, err)
		}
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=160m,mode=0755"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	options := pgserver.Options{
		Dir: filepath.Join(disk, "pg"), LogFile: filepath.Join(shared.dir, "small.log"), Template: migrated(),
		Settings: map[string]string{"max_wal_size": "32MB", "min_wal_size": "32MB"},
	}
	server := startServer(t, options)
	s := newStack(t, server)
	crm := s.startCRM(t, nil)
	s.startNotification(t, nil)
	c := newPeople(t, crm, 1)
	var o outage
	stop := load(4, func(ctx context.Context, _, n int) { o.ask(ctx, c.customer, n) })
	for range trials.Count(1, 1) {
		created, refused := o.counts()
		eventually(t, "tickets are raised", func() bool { n, _ := o.counts(); return n > created+30 })
		fill(t, filepath.Join(disk, "ballast"))
		eventually(t, "requests are refused", func() bool { _, n := o.counts(); return n > refused+10 })
		if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
			t.Fatal(err)
		}
		created, _ = o.counts()
		eventually(t, "tickets are raised again", func() bool {
			select {
			case <-server.Done(): // it could not write its log; a supervisor would restart it
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				_ = server.Stop(ctx)
				cancel()
				server = startServer(t, options)
			default:
			}
			n, _ := o.counts()
			return n > created
		})
	}
	stop()
	s.crm.Reset()
	s.notify.Reset()
	s.expireOutboxLeases(t)
	s.expireRecipientLeases(t)
	s.expectConsistent(t, &o.created)
	s.drained(t)
	s.notifiedOnce(t)
	o.report(t)
	t.Logf("%d acknowledged, %d refused, slowest answer %v", o.created.len(), o.refused, o.slowest.Round(time.Millisecond))
}

// fill uses up the disk space.
func fill(t *testing.T, path string) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 1 << 20; size >= 1; size /= 4 {
		block := make([]byte, size)
		for {
			if _, err = file.Write(block); err != nil {
				break
			}
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}

// inNamespace runs this test again in a process that may mount a file system.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount the small file system this test needs")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), insideNamespace+"="+shared.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	process, err := subprocess.Start(cmd, syscall.SIGKILL)
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this root may not mount the small file system this test needs")
	}
	if err == nil {
		err = process.Err()
	}
	if err != nil {
		t.Errorf("%v\n%s", err, &output)
	}
	for line := range strings.Lines(output.String()) {
		if strings.Contains(line, "acknowledged") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

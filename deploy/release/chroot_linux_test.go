package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// jail is the unpacked image of a service, in which its program runs with nothing
// else, as the images' user.
type jail struct {
	dir, service string
	env          []string
}

func newJail(t *testing.T, service string) jail {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may change the root folder")
	}
	image, _ := testImage(t, service)
	j := jail{dir: t.TempDir(), service: service}
	for dir := j.dir; dir != "/"; dir = filepath.Dir(dir) { // so that another user reaches it
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o005 != 0o005 {
			if err := os.Chmod(dir, info.Mode().Perm()|0o055); err != nil {
				t.Fatal(err)
			}
		}
	}
	content := mutate.Extract(image)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return j
		}
		if err != nil {
			t.Fatal(err)
		}
		j.unpack(t, h, r)
	}
}

func (j jail) unpack(t *testing.T, h *tar.Header, content io.Reader) {
	t.Helper()
	path := filepath.Join(j.dir, filepath.FromSlash(h.Name))
	var err error
	if h.Typeflag == tar.TypeDir {
		err = os.MkdirAll(path, 0o755)
	} else {
		var b []byte
		if b, err = io.ReadAll(content); err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
	}
	if err := errors.Join(err, os.Chown(path, h.Uid, h.Gid), os.Chmod(path, h.FileInfo().Mode())); err != nil {
		t.Fatal(err)
	}
}

func (j jail) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/local/bin/"+j.service, args...)
	cmd.Path, cmd.Err = "/usr/local/bin/"+j.service, nil // inside of the root
	cmd.Dir, cmd.Env = "/var/lib/fixdesk", append([]string{"PATH=/usr/local/bin"}, j.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: j.dir, Credential: &syscall.Credential{Uid: user, Gid: user}}
	return cmd
}

func (j jail) run(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	b, err := j.command(t.Context(), args...).CombinedOutput()
	return string(b), err
}

// silentAddress returns an address that accepts connections and never answers, as a
// database that hangs: the service stays alive and isn't ready.
func silentAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String() // the system accepts for a listener that doesn't
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func TestProgramsRunAloneInTheirImages(t *testing.T) {
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			j := newJail(t, service)
			if output, err := j.run(t, "version"); err != nil || !strings.HasPrefix(output, service+" 1.2.3-test\nrevision 0123456789abcdef\n") {
				t.Fatalf("%v: %s", err, output)
			}
			prefix := strings.ToUpper(service)
			j.env = []string{prefix + "_ADDR=:" + freePort(t), prefix + "_OPS_ADDR=off", prefix + "_DATABASE_URL=postgres://" + silentAddress(t) + "/none?connect_timeout=600"}
			if service == "crm" {
				j.env = append(j.env, "CRM_KEYS_FILE=/var/lib/fixdesk/keys.json")
				if output, err := j.run(t, "keys", "create"); err != nil {
					t.Fatalf("%v: %s", err, output)
				}
			}
			if output, err := j.run(t, "health"); err == nil { // the control
				t.Errorf("healthy before it runs: %s", output)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var log bytes.Buffer
			process := j.command(ctx)
			process.Stderr = &log
			process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(2 * time.Minute); ; {
				output, err := j.run(t, "health")
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("not healthy: %s", output)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if output, err := j.run(t, "health", "--ready"); err == nil || !strings.Contains(output, "503") {
				t.Errorf("while its database hangs: %v, %s", err, output)
			}
			stop()
			_ = process.Wait() // canceled
			if code := process.ProcessState.ExitCode(); code != 0 || !strings.Contains(log.String(), service+" stopped") {
				t.Errorf("the stop ends with %d: %s", code, &log)
			}
		})
	}
}

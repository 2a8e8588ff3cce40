//go:build servers

package attachment_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"fixdesk/pkg/dev/launch"
	"fixdesk/services/crm/internal/attachment"
)

// TestRealServerClamd asks Debian's clamd, which knows one signature, that of a word.
func TestRealServerClamd(t *testing.T) {
	program, err := exec.LookPath("clamd")
	if err != nil {
		t.Fatal(err)
	}
	const word = "fixdesk-test-virus"
	dir := t.TempDir()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"words.ndb": "Fixdesk.Test:0:*:" + hex.EncodeToString([]byte(word)) + "\n",
		"clamd.conf": fmt.Sprintf("Foreground yes\nTCPAddr %s\nTCPSocket %s\nDatabaseDirectory %s\nTemporaryDirectory %s\nStreamMaxLength 1M\nLogFile %s\n",
			host, port, dir, dir, filepath.Join(dir, "log")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "--config-file="+filepath.Join(dir, "clamd.conf"))
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	d := newTestEnv(t, func(c *attachment.Config) { c.Clamd = address })
	d.Eventually("clamd listens: "+output.String(), func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	who := d.User("customer")
	content := random(700_000)
	good, bad, large := d.upload(who, "good.bin", content), d.upload(who, "bad.txt", []byte("this is the "+word+" of a test")), d.upload(who, "large.bin", random(3<<20))
	if err := d.scan(); err == nil {
		t.Error("a file beyond StreamMaxLength is no error")
	} else {
		t.Log(err)
	}
	if got := d.content(who, good).Want(200); !bytes.Equal(got.Body, content) {
		t.Error("other bytes")
	}
	d.content(who, bad).Refused(409, "conflict")
	d.content(who, large).Refused(409, "conflict")
}

package attachment_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmtest"
)

// scriptedClamd is a server that speaks INSTREAM as clamd does, and answers as a test
// wants: "" is by the content, which is infected if it has the word virus.
type scriptedClamd struct {
	address string
	mu      sync.Mutex
	answer  string
	got     []byte // the last stream
	max     int
}

func newScriptedClamd(t testing.TB) *scriptedClamd {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &scriptedClamd{address: listener.Addr().String(), max: 25 << 20}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.serve(conn)
		}
	})
	return c
}

func (c *scriptedClamd) script(answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = answer
}

func (c *scriptedClamd) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer == "hang up" {
		return
	}
	command := make([]byte, len("zINSTREAM\x00"))
	if _, err := io.ReadFull(conn, command); err != nil || string(command) != "zINSTREAM\x00" {
		return
	}
	c.got = nil
	for {
		var size uint32
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size)
		if _, err := io.ReadFull(conn, chunk); err != nil {
			return
		}
		if c.got = append(c.got, chunk...); len(c.got) > c.max {
			_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
			return
		}
	}
	answer := c.answer
	if answer == "" {
		answer = "stream: OK"
		if bytes.Contains(c.got, []byte("virus")) {
			answer = "stream: Test.Signature FOUND"
		}
	}
	_, _ = io.WriteString(conn, answer+"\x00")
}

func (d *testEnv) scan() error {
	d.Helper()
	for {
		again, err := d.files.RunScan(context.Background())
		if err != nil || !again {
			return err
		}
	}
}

func TestOnlyCleanFilesAreServed(t *testing.T) {
	clamd := newScriptedClamd(t)
	d := newTestEnv(t, func(c *attachment.Config) { c.Clamd = clamd.address })
	who := d.User("customer")
	content := random(700_000)
	good, bad := d.upload(who, "good.bin", content), d.upload(who, "bad.txt", []byte("a virus"))
	if good.Scan != "pending" {
		t.Errorf("%+v", good)
	}
	pending := d.content(who, good).Refused(409, "conflict")
	if !strings.Contains(pending.Detail, "still to be scanned") {
		t.Error(pending.Detail)
	}
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	if got := d.content(who, good).Want(200); !bytes.Equal(got.Body, content) {
		t.Error("other bytes")
	}
	infected := d.content(who, bad).Refused(409, "conflict")
	if !strings.Contains(infected.Detail, "malware") {
		t.Error(infected.Detail)
	}
	ticket := d.raise(who, good, bad)
	for _, f := range crmtest.Parse[conversation](d.Call(who, "GET", ticket.Path(""), nil).Want(200)).Attachments {
		if want := map[string]string{"good.bin": "clean", "bad.txt": "infected"}[f.Filename]; f.Scan != want {
			t.Errorf("%s is %s, want %s", f.Filename, f.Scan, want)
		}
	}
	if again := d.upload(who, "again.txt", []byte("a virus")); again.Scan != "infected" { // the same content
		t.Errorf("%+v", again)
	}
}

func TestScannerThatFailsLeavesFilesPendingAndIsAskedAgain(t *testing.T) {
	clamd := newScriptedClamd(t)
	clamd.max = 100_000
	d := newTestEnv(t, func(c *attachment.Config) { c.Clamd = clamd.address })
	who := d.User("customer")
	f := d.upload(who, "a.txt", []byte("harmless"))
	for _, answer := range []string{"hang up", "stream: Can't allocate memory ERROR", "UNKNOWN COMMAND", "stream: OK and more", "OK", " "} {
		clamd.script(answer)
		if err := d.scan(); err == nil {
			t.Errorf("%q is no error", answer)
		}
		d.content(who, f).Refused(409, "conflict")
		d.Advance(2 * time.Minute)
	}
	clamd.script("")
	large := d.upload(who, "large.bin", random(300_000)) // more than clamd takes
	if err := d.scan(); err == nil || !strings.Contains(err.Error(), "size limit exceeded") && !strings.Contains(err.Error(), "ask clamd") {
		t.Errorf("the error is %v", err)
	}
	d.content(who, large).Refused(409, "conflict")
	d.content(who, f).Want(200) // one that can't be scanned holds up no other
	clamd.max = 1 << 20
	if err := d.scan(); err != nil {
		t.Error("it is asked again at once:", err)
	}
	d.content(who, large).Refused(409, "conflict")
	d.Advance(2 * time.Minute)
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	d.content(who, large).Want(200)
}

func TestFilesOfATimeWithoutAScannerAreScannedOnceThereIsOne(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	f := d.upload(who, "a.txt", []byte("a virus"))
	d.content(who, f).Want(200) // the control
	clamd := newScriptedClamd(t)
	d.files.Clamd = clamd.address
	d.content(who, f).Refused(409, "conflict")
	d.files = attachment.NewService(d.files.Config)
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	d.content(who, f).Refused(409, "conflict")
	if got := crmtest.Parse[file](d.read(who, f).Want(200)); got.Scan != "infected" {
		t.Errorf("%+v", got)
	}
}

func TestWithoutAScannerPendingFilesAreServed(t *testing.T) {
	d := newTestEnv(t)
	who := d.User("customer")
	f := d.upload(who, "a.txt", []byte("text"))
	d.Exec(`update attachment_contents set scan = 'pending'`)
	d.content(who, f).Want(200)
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	if got := crmtest.Parse[file](d.read(who, f).Want(200)); got.Scan != "off" {
		t.Errorf("%+v", got)
	}
}

//go:build smtpserver

package app_test

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// startRelay runs a Postfix that hands the mail of desk.test and bounces.test to the
// service by LMTP, and passes all other mail on to next.
func startRelay(t *testing.T, lmtp, next string) (smtpAddr string) {
	t.Helper()
	dir, s := folders(t)
	conf := configurePostfix(t, dir, s.address, fmt.Sprintf(`maillog_file = /dev/stdout
myhostname = mail.desk.test
mydestination =
virtual_mailbox_domains = desk.test, bounces.test
virtual_transport = lmtp:inet:%s
relayhost = %s
recipient_delimiter = +
queue_run_delay = 1s
minimal_backoff_time = 1s
`, lmtp, bracketed(next)), `qmgr unix n - n 1 1 qmgr
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
`)
	runPostfix(t, conf, s.address)
	return s.address
}

func TestRealServerPostfixHandsMailInByLMTP(t *testing.T) {
	i := newIssuer(t)
	c := inboundConfig(t, i)
	c.Inbound.Protocol, c.Inbound.Addr = app.InboundProtocol(notifyapi.InboundLMTP), config.OptionalAddr(freeAddr(t))
	relay := startRelay(t, string(c.Inbound.Addr), startSMTP(t, nil).Addr())
	send := func(n int) {
		raw := plainMail(fmt.Sprintf("%d@sender.example", n), "x", "y")
		if err := smtp.SendMail(relay, nil, "ada@example.com", []string{"support+42.abc@desk.test", "other@desk.test"}, raw); err != nil {
			t.Fatal(err)
		}
	}
	send(0) // while the service is away: Postfix keeps it
	s := start(t, i, c)
	for n := range 20 {
		send(n + 1)
	}
	for _, m := range s.pending(t, 21) {
		if m.Source != notifyapi.InboundLMTP || m.Envelope.From != "ada@example.com" || m.Text != "y\n" {
			t.Errorf("%+v", m)
		}
	}
	if n := len(s.pending(t, 21)); n != 21 {
		t.Errorf("%d mails, want 21", n)
	}
}

// bracketed is an address as Postfix has it that asks no DNS about it.
func bracketed(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}

// A mail that Postfix takes and can't deliver comes back as its delivery report, by
// LMTP to the bounce address that was the mail's envelope sender.
func TestRealServerPostfixReturnsWhatCannotBeDelivered(t *testing.T) {
	next := startSMTP(t, func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "gone@") {
			return "550 5.1.1 The user does not exist"
		}
		return ""
	})
	i := newIssuer(t)
	c := bounceConfig(t, i, next)
	c.Inbound.Protocol, c.Inbound.Addr = app.InboundProtocol(notifyapi.InboundLMTP), config.OptionalAddr(freeAddr(t))
	c.SMTPURL = config.NewSecret("smtp://" + startRelay(t, string(c.Inbound.Addr), next.Addr()))
	s := start(t, i, c)
	n, err := s.Create(t.Context(), "returned", newMail("gone@example.org", "here@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	n = s.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	for _, r := range n.Recipients {
		switch {
		case r.Email == "here@example.org" && r.Status == notifyapi.RecipientSent: // the control
		case r.Email == "gone@example.org" && r.Status == notifyapi.RecipientBounced && r.SentAt != nil && r.LastError != nil && strings.Contains(*r.LastError, "5.1.1"):
			reports, err := s.Reports(t.Context(), n.ID, r.ID, 0, "")
			if err != nil || len(reports.Items) != 1 || *reports.Items[0].Code != 550 || *reports.Items[0].Status != "5.1.1" {
				t.Errorf("%+v, %v", reports.Items, err)
			}
		default:
			t.Errorf("%+v", r)
		}
	}
	eventually(t, "the mail to the other recipient has arrived", func() bool { return next.Count("here@example.org") == 1 })
	if !s.isSuppressed(t, "gone@example.org") || s.isSuppressed(t, "here@example.org") {
		t.Error("want the address that is gone to be suppressed, and the other not")
	}
	if page, err := s.Inbound(t.Context(), notifyapi.InboundParams{Status: notifyapi.InboundPending}); err != nil || len(page.Items) != 0 {
		t.Errorf("the report waits for the consumer: %+v, %v", page.Items, err)
	}
}

// startDovecot serves one Maildir to the user desk.
func startDovecot(t *testing.T) (addr, maildir string) {
	t.Helper()
	dir, s := folders(t)
	owner, err := user.Lookup(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	maildir = filepath.Join(dir, "Maildir")
	for _, d := range []string{"", "/cur", "/new", "/tmp"} {
		if err := os.Mkdir(maildir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("chown", "-R", mailbox, maildir).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	write(t, filepath.Join(dir, "users"), 0o644, "desk:{PLAIN}s3cret:%s:%s::%s::\n", owner.Uid, owner.Gid, dir)
	_, port, _ := net.SplitHostPort(s.address)
	write(t, filepath.Join(dir, "dovecot.conf"), 0o644, `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:%[2]s
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = passwd-file
  args = %[1]s/users
}
service imap-login {
  inet_listener imap {
    port = %[3]s
  }
  inet_listener imaps {
    port = 0
  }
}
`, dir, maildir, port)
	stop := func(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) }
	daemon(t, s.address, stop, "dovecot", "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	return s.address, maildir
}

func TestRealServerDovecotServesIMAP(t *testing.T) {
	addr, maildir := startDovecot(t)
	owner, err := user.Lookup(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	deliver := func(n int) { // as a delivery agent does
		name := fmt.Sprintf("%d.test", n)
		raw := append([]byte("Return-Path: <ada@example.com>\r\nDelivered-To: support@desk.test\r\n"), plainMail(fmt.Sprintf("%d@sender.example", n), "x", "y")...)
		write(t, filepath.Join(maildir, "tmp", name), 0o644, "%s", raw)
		if err := os.Chown(filepath.Join(maildir, "tmp", name), uid, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(maildir, "tmp", name), filepath.Join(maildir, "new", name)); err != nil {
			t.Fatal(err)
		}
	}
	deliver(0)
	i := newIssuer(t)
	c := inboundConfig(t, i)
	c.Inbound.Addr, c.IMAPURL = "", config.NewSecret("imap://desk:s3cret@"+addr+"?tls=none")
	s := start(t, i, c)
	s.pending(t, 1)
	for n := range 20 { // IDLE says that they are there
		deliver(n + 1)
	}
	for _, m := range s.pending(t, 21) {
		if m.Envelope.From != "ada@example.com" || m.Envelope.To[0] != "support@desk.test" || m.Text != "y\n" {
			t.Errorf("%+v", m)
		}
	}
	// Each file's name has the flag S when it is marked as seen.
	eventually(t, "all mails are marked as seen", func() bool {
		seen, _ := filepath.Glob(filepath.Join(maildir, "cur", "*:2,*S*"))
		return len(seen) == 21
	})
	if n := len(s.pending(t, 21)); n != 21 {
		t.Errorf("%d mails, want 21", n)
	}
}

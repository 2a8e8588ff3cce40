//go:build smtpserver

package app_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/mail"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/postfix"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
)

// realServer is a mail server of another project. It delivers to the system's
// user "games" in a Maildir.
type realServer struct {
	address string // of SMTP
	maildir string
	caFile  string
}

// mailbox is the local part that exists.
const mailbox = "games"

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func write(t *testing.T, path string, mode os.FileMode, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), mode); err != nil {
		t.Fatal(err)
	}
}

// folders makes a short path that other users may pass, with the certificate
// and the user's Maildir in it.
func folders(t *testing.T) (dir string, s realServer) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fixdesk-smtp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	certificate, _ := smtptest.Certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	s.caFile = filepath.Join(dir, "cert.pem")
	write(t, s.caFile, 0o644, "%s", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	write(t, filepath.Join(dir, "key.pem"), 0o600, "%s", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	spool := filepath.Join(dir, "spool")
	s.maildir = filepath.Join(spool, mailbox)
	owner, err := user.Lookup(mailbox)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	for _, d := range []string{spool, s.maildir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(d, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	s.address = "127.0.0.1:" + freePort(t)
	return dir, s
}

// daemon runs a server in the foreground until the test ends.
func daemon(t *testing.T, address string, stop func(*exec.Cmd), name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.WaitDelay = 5 * time.Second // a child may hold its output open
	log := newLogBuffer()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop(cmd)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	if err := launch.WaitListening(ctx, address); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, log)
	}
}

func configurePostfix(t *testing.T, dir, address, settings, services string) (conf string) {
	t.Helper()
	conf, err := postfix.Configure(dir, address, settings, services)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// runPostfix runs a configured Postfix until the test ends.
func runPostfix(t *testing.T, conf, address string) {
	t.Helper()
	stop := func(*exec.Cmd) { _ = exec.Command("postfix", "-c", conf, "stop").Run() }
	daemon(t, address, stop, "postfix", "-c", conf, "start-fg")
}

func startPostfix(t *testing.T) realServer {
	t.Helper()
	dir, s := folders(t)
	conf := configurePostfix(t, dir, s.address, fmt.Sprintf(`maillog_file = /dev/stdout
myhostname = mail.example.org
mydestination = example.org
alias_maps =
local_recipient_maps = inline:{ {%[2]s = x} }
mail_spool_directory = %[1]s/spool/
smtputf8_enable = yes
message_size_limit = 100000
smtpd_tls_security_level = may
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_client_connection_count_limit = 3
smtpd_client_event_limit_exceptions =
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mail.example.org
`, dir, mailbox), `qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
local unix - n n - - local
`)
	// Debian's Cyrus SASL reads logins from this path only.
	const logins = "/etc/sasldb2"
	add := exec.Command("saslpasswd2", "-p", "-c", "-f", logins, "-u", "mail.example.org", "joe")
	add.Stdin = strings.NewReader("s3cret")
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	t.Cleanup(func() { _ = os.Remove(logins) })
	if out, err := exec.Command("chown", "postfix", logins).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	runPostfix(t, conf, s.address)
	return s
}

func startOpenSMTPD(t *testing.T, pki string) realServer {
	t.Helper()
	dir, s := folders(t)
	_, port, _ := net.SplitHostPort(s.address)
	write(t, filepath.Join(dir, "smtpd.conf"), 0o600, `pki mail cert "%[1]s/cert.pem"
pki mail key "%[1]s/key.pem"
listen on 127.0.0.1 port %[2]s hostname mail.example.org %[3]s
action "deliver" maildir "%[1]s/spool/%%{user.username}"
match from any for domain "example.org" action "deliver"
`, dir, port, pki)
	stop := func(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) }
	daemon(t, s.address, stop, "smtpd", "-d", "-f", filepath.Join(dir, "smtpd.conf"))
	return s
}

// delivered waits for n mails in the Maildir.
func (s realServer) delivered(t *testing.T, n int) []*mail.Message {
	t.Helper()
	var files []string
	eventually(t, fmt.Sprintf("%d mails are delivered", n), func() bool {
		files, _ = filepath.Glob(filepath.Join(s.maildir, "new", "*"))
		return len(files) >= n
	})
	var messages []*mail.Message
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(f)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		messages = append(messages, m)
		t.Cleanup(func() { _ = f.Close() })
	}
	return messages
}

// wantEachMailOnce mails to a server and wants each mail to be delivered once,
// only unknown recipients to fail, and the Message-ID to be kept.
func wantEachMailOnce(t *testing.T, s realServer, url string) *service {
	t.Helper()
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url)
	c.SMTPURL, c.SMTPCAFile = config.NewSecret(url), s.caFile
	c.Lease, c.SMTPConnections = 30*time.Second, 10
	svc := start(t, i, c)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(svc.log)
		}
	})
	r := newMail(mailbox+"@example.org", "unknown@example.org")
	r.Subject = "Ticket №42: Drucker brennt 🔥"
	n, err := svc.Create(t.Context(), "first", r)
	if err != nil {
		t.Fatal(err)
	}
	done := svc.until(t, n.ID, notifyapi.StatusPartiallyFailed, waitLimit)
	for _, rec := range done.Recipients {
		t.Logf("%s: %s after %d attempts, %v", rec.Email, rec.Status, rec.Attempts, value(rec.LastError))
		if known := strings.HasPrefix(rec.Email, mailbox); known != (rec.Status == notifyapi.RecipientSent) || rec.Attempts != 1 {
			t.Errorf("%+v", rec)
		}
	}
	m := s.delivered(t, 1)[0]
	if got := m.Header.Get("Message-ID"); got != "<"+done.Recipients[0].ID.String()+"@example.com>" {
		t.Errorf("Message-ID %s", got)
	}
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("From") == "" {
		t.Errorf("headers %v", m.Header)
	}
	const many = 200
	for k := range many {
		if _, err := svc.Create(t.Context(), fmt.Sprint("many", k), newMail(mailbox+"@example.org")); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, m := range s.delivered(t, many+1) {
		id := m.Header.Get("Message-ID")
		if seen[id] {
			t.Errorf("%s was delivered twice", id)
		}
		seen[id] = true
	}
	if len(seen) != many+1 {
		t.Errorf("%d mails, want %d", len(seen), many+1)
	}
	eventually(t, "all are settled", func() bool {
		stats, err := svc.Stats(context.Background())
		return err == nil && stats.Recipients.Sent == many+1
	})
	return svc
}

func value(s *string) string {
	if s == nil {
		return "no error"
	}
	return *s
}

func TestRealServerPostfixTakesEveryMailOnceAndItsRefusalsAreReported(t *testing.T) {
	s := startPostfix(t)
	svc := wantEachMailOnce(t, s, "smtp://"+s.address+"?tls=required")
	large := newMail(mailbox + "@example.org")
	large.Text = strings.Repeat("0123456789\n", 15000)
	for name, r := range map[string]notifyapi.Request{
		"too large":       large,
		"relaying":        newMail("anna@elsewhere.example"),
		"beyond ASCII":    newMail("jürgen@example.org"),
		"another network": newMail(mailbox + "@bücher.example"),
	} {
		n, err := svc.Create(t.Context(), uuid.NewString(), r)
		if err != nil {
			t.Fatal(err)
		}
		if name == "relaying" || name == "another network" {
			// Postfix relays for mynetworks: it takes the mail and bounces it later.
			done := svc.until(t, n.ID, notifyapi.StatusCompleted, waitLimit)
			t.Logf("%s: %s", name, done.Recipients[0].Status)
			continue
		}
		done := svc.until(t, n.ID, notifyapi.StatusFailed, waitLimit)
		t.Logf("%s: %s", name, value(done.Recipients[0].LastError))
	}
}

func TestRealServerPostfixAcceptsEachLogin(t *testing.T) {
	s := startPostfix(t)
	for _, auth := range []string{"", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"} {
		t.Run("auth "+auth, func(t *testing.T) {
			url := "smtp://joe:s3cret@" + s.address + "?tls=required"
			if auth != "" {
				url += "&auth=" + auth
			}
			i := newIssuer(t)
			c := testConfig(newDatabase(t), i.url)
			c.SMTPURL, c.SMTPCAFile = config.NewSecret(url), s.caFile
			svc := start(t, i, c)
			t.Cleanup(func() {
				if t.Failed() {
					t.Log(svc.log)
				}
			})
			svc.until(t, raise(t, svc, mailbox+"@example.org"), notifyapi.StatusCompleted, waitLimit)
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		wantTrouble(t, s, "smtp://joe:canary@"+s.address+"?tls=required")
	})
}

func TestRealServerOpenSMTPDTakesEveryMailOnce(t *testing.T) {
	s := startOpenSMTPD(t, "")
	wantEachMailOnce(t, s, "smtp://"+s.address)
}

// Debian 12's OpenSMTPD 6.8 can't use its key with OpenSSL 3 (OpenSMTPD issue
// 1171), so that every handshake fails.
func TestRealServerOpenSMTPDWhoseTLSFailsCostsNoAttempt(t *testing.T) {
	s := startOpenSMTPD(t, "tls-require pki mail")
	wantTrouble(t, s, "smtp://joe:canary@"+s.address+"?tls=required")
}

// wantTrouble mails to a server that can't be used, and wants its trouble to be
// reported and no attempt to be counted.
func wantTrouble(t *testing.T, s realServer, url string) {
	t.Helper()
	i := newIssuer(t)
	c := testConfig(newDatabase(t), i.url)
	c.SMTPURL, c.SMTPCAFile = config.NewSecret(url), s.caFile
	svc := start(t, i, c)
	id := raise(t, svc, mailbox+"@example.org")
	eventually(t, "the trouble is reported", func() bool { return strings.Contains(ops(t, svc, "/readyz"), "in trouble") })
	if n, err := svc.Get(t.Context(), id); err != nil || n.Recipients[0].Attempts != 0 {
		t.Errorf("%+v, %v", n.Recipients, err)
	}
	if strings.Contains(svc.log.String(), "canary") {
		t.Error("the password is in the log")
	}
	t.Log(svc.log)
}

package app_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/app"
)

// talk is a conversation in single lines.
type talk struct {
	*textproto.Conn
	t testing.TB
}

func converseWith(t testing.TB, addr string) *talk {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &talk{conn, t}
	c.expect(220)
	return c
}

// say sends a line and expects an answer with the code.
func (c *talk) say(code int, format string, values ...any) string {
	c.t.Helper()
	if err := c.PrintfLine(format, values...); err != nil {
		c.t.Fatal(err)
	}
	return c.expect(code)
}

func (c *talk) expect(code int) string {
	c.t.Helper()
	_, text, err := c.ReadResponse(code)
	if err != nil {
		c.t.Errorf("want %d: %v", code, err)
	}
	return text
}

func TestLMTPAnswersForEachRecipientAfterOneCommit(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	cfg := inboundConfig(t, i)
	cfg.Inbound.Protocol = app.InboundProtocol(notifyapi.InboundLMTP)
	s := start(t, i, cfg)
	c := converseWith(t, s.inbound(t))
	c.say(500, "EHLO client.example")
	c.say(250, "LHLO client.example")
	c.say(250, "MAIL FROM:<>")
	c.say(250, "RCPT TO:<a@desk.test>")
	c.say(550, "RCPT TO:<a@elsewhere.test>")
	c.say(250, "RCPT TO:<b@desk.test>")
	c.say(354, "DATA")
	for line := range strings.Lines(string(plainMail("lmtp@x", "x", "y"))) {
		_ = c.PrintfLine("%s", strings.TrimRight(line, "\r\n"))
	}
	c.say(250, ".")
	c.expect(250)
	m := s.pending(t, 1)[0]
	if fmt.Sprint(m.Envelope.To) != "[a@desk.test b@desk.test]" || m.Source != notifyapi.InboundLMTP || *m.Automatic != notifyapi.AutomaticEmptySender {
		t.Errorf("%+v", m)
	}
}

func TestMailThatIsCutOffIsNotStored(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	begin := func() *talk {
		c := converseWith(t, s.inbound(t))
		c.say(250, "EHLO client.example")
		c.say(250, "MAIL FROM:<ada@example.com>")
		c.say(250, "RCPT TO:<a@desk.test>")
		return c
	}
	data := begin()
	data.say(354, "DATA")
	_ = data.PrintfLine("Message-ID: <cut@x>\r\n\r\nhalf")
	_ = data.Close()
	chunk := begin()
	_ = chunk.PrintfLine("BDAT 1000 LAST\r\nMessage-ID: <cut@x>\r\n\r\nhalf")
	_ = chunk.Close()
	whole := begin()
	raw := "Message-ID: <whole@x>\r\n\r\nwhole\r\n"
	_, _ = fmt.Fprintf(whole.W, "BDAT 10\r\n%s", raw[:10])
	_ = whole.W.Flush()
	whole.expect(250)
	_, _ = fmt.Fprintf(whole.W, "BDAT %d LAST\r\n%s", len(raw)-10, raw[10:])
	_ = whole.W.Flush()
	whole.expect(250)
	for _, m := range s.pending(t, 1) {
		if m.MessageID != "whole@x" {
			t.Errorf("stored %q: %q", m.MessageID, m.Text)
		}
	}
	eventually(t, "both were counted as broken", func() bool {
		return strings.Contains(ops(t, s, "/metrics"), `notification_inbound_received_total{result="broken",source="smtp"} 2`)
	})
	if n := len(s.pending(t, 1)); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

// TestOnlyADotBetweenCRLFEndsAMail sends what other servers take for the end of a mail,
// and a second mail after it. The control is the real end.
func TestOnlyADotBetweenCRLFEndsAMail(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, i, inboundConfig(t, i))
	send := func(end string, answers ...int) {
		c := converseWith(t, s.inbound(t))
		c.say(250, "EHLO client.example")
		c.say(250, "MAIL FROM:<ada@example.com>")
		c.say(250, "RCPT TO:<a@desk.test>")
		c.say(354, "DATA")
		_, _ = fmt.Fprintf(c.W, "Message-ID: <%x@x>\r\n\r\nfirst%sMAIL FROM:<eve@example.com>\r\nRCPT TO:<a@desk.test>\r\nDATA\r\nMessage-ID: <second@x>\r\n\r\nx\r\n.\r\n", end, end)
		_ = c.W.Flush()
		for _, code := range answers {
			c.expect(code)
		}
	}
	ends := []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r"}
	for _, end := range ends {
		send(end, 250)
	}
	for _, m := range s.pending(t, len(ends)) {
		if m.MessageID == "second@x" {
			t.Error("a mail was taken for two")
		}
	}
	send("\r\n.\r\n", 250, 250, 250, 354, 250) // the control
	if mails := s.pending(t, len(ends)+2); len(mails) != len(ends)+2 || mails[len(ends)+1].MessageID != "second@x" {
		t.Errorf("%d mails after the control, want %d", len(mails), len(ends)+2)
	}
}

func TestSTARTTLSCarriesMail(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	cfg := inboundConfig(t, i)
	certificate, roots := smtptest.Certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg.Inbound.TLSCertFile, cfg.Inbound.TLSKeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		cfg.Inbound.TLSCertFile: {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}, cfg.Inbound.TLSKeyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := start(t, i, cfg)
	c := dial(t, s.inbound(t))
	if err := c.StartTLS(&tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("ada@example.com"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("a@desk.test"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(plainMail("tls@x", "x", "y"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if m := s.pending(t, 1)[0]; m.MessageID != "tls@x" {
		t.Errorf("%+v", m)
	}
}

func TestConnectionsAndMailsOfOneNetworkAreBounded(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	cfg := inboundConfig(t, i)
	cfg.Inbound.ClientConnections, cfg.Inbound.MailsPerMinute = 2, 3
	s := start(t, i, cfg)
	first := converseWith(t, s.inbound(t))
	converseWith(t, s.inbound(t))
	refused, err := textproto.Dial("tcp", s.inbound(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = refused.Close() }()
	if _, text, err := refused.ReadResponse(421); err != nil {
		t.Errorf("a third connection: %q %v", text, err)
	}
	first.say(250, "EHLO client.example")
	for range 3 {
		first.say(250, "MAIL FROM:<ada@example.com>")
		first.say(250, "RSET")
	}
	first.say(450, "MAIL FROM:<ada@example.com>")
}

func TestAMailOnTheWireIsTakenBeforeTheServiceStops(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	cfg := inboundConfig(t, i)
	s := start(t, i, cfg)
	c := converseWith(t, s.inbound(t))
	c.say(250, "EHLO client.example")
	c.say(250, "MAIL FROM:<ada@example.com>")
	c.say(250, "RCPT TO:<a@desk.test>")
	c.say(354, "DATA")
	_ = c.PrintfLine("Message-ID: <stop@x>")
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	eventually(t, "no further connection is taken", func() bool {
		conn, err := textproto.Dial("tcp", s.inbound(t))
		if err != nil {
			return true
		}
		defer func() { _ = conn.Close() }()
		_, _, err = conn.ReadResponse(220)
		return err != nil
	})
	_ = c.PrintfLine("")
	_ = c.PrintfLine("the rest")
	c.say(250, ".")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := query(t, cfg.DatabaseURL.Reveal(), "select count(*)::text from inbound_mails")[0]; n != "1" {
		t.Errorf("%s mails are stored, want 1", n)
	}
}

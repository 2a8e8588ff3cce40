package email

import (
	"bytes"
	"mime"
	"net/mail"
	"strings"
	"testing"
)

var subjects = map[string]string{
	"short":          "Printer on fire",
	"words":          strings.TrimSpace(strings.Repeat("printer on fire ", 18)),
	"one long word":  strings.Repeat("x", 300),
	"two spaces":     strings.Repeat("on  fire   ", 20) + "!",
	"umlauts":        strings.Repeat("Drucker brennt fürchterlich ", 10),
	"japanese":       strings.Repeat("プリンターが燃えています", 20),
	"one long emoji": strings.Repeat("👩\u200d🚒", 60),
	"encoded word":   "=?utf-8?q?not_encoded?= is text",
	"question marks": "Why? =? ?= _ = What_is_that?",
	"mixed":          "[Fixdesk #42] Grüße, Привет, 你好, שלום, مرحبا 🔥",
}

// header returns the header of a message as its lines.
func header(t *testing.T, raw []byte) []string {
	t.Helper()
	head, _, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("no end of the header:\n%s", raw)
	}
	return strings.Split(string(head), "\r\n")
}

func TestSubjectIsReadBackAndItsLinesAreShort(t *testing.T) {
	for name, subject := range subjects {
		raw, err := Sender{From: mail.Address{Address: "fixdesk@example.com"}}.render(goldenMail(func(m *Mail) { m.Subject = subject }))
		if err != nil {
			t.Fatal(err)
		}
		read, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject")); err != nil || got != subject {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		for _, line := range header(t, raw) {
			if len(line) > lineWidth && strings.Contains(strings.TrimSpace(line[strings.Index(line, ":")+1:]), " ") {
				t.Errorf("%s: a line of %d octets could be shorter: %q", name, len(line), line)
			}
		}
	}
}

func TestNoHeaderIsFoldedBeforeItsValue(t *testing.T) {
	sender := Sender{From: mail.Address{Name: strings.Repeat("Störungsdienst ", 12), Address: strings.Repeat("f", 60) + "@example.com"}, DKIM: ed25519DKIM(t)}
	for name, subject := range subjects {
		raw, err := sender.render(goldenMail(func(m *Mail) {
			m.Subject, m.Thread = subject, "ticket-1"
			m.To, m.ReplyTo = strings.Repeat("a", 64)+"@example.org", strings.Repeat("r", 64)+"@example.com"
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range header(t, raw) {
			if strings.HasSuffix(line, ":") || strings.TrimSpace(line) == "" || len(line) > 998 {
				t.Errorf("%s: line %q", name, line)
			}
		}
	}
}

// The control of the test above: what go-mail writes.
func TestControlUnfoldedMessageHasAHeaderWithoutAValueOnItsLine(t *testing.T) {
	msg, err := Sender{From: mail.Address{Address: "fixdesk@example.com"}}.message(goldenMail(func(m *Mail) { m.Subject = subjects["one long word"] }))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "Subject:\r\n") {
		t.Errorf("go-mail folds elsewhere now; is folded still needed?\n%s", b.String())
	}
}

func FuzzSubjectIsReadBack(f *testing.F) {
	for _, subject := range subjects {
		f.Add(subject)
	}
	f.Fuzz(func(t *testing.T, subject string) {
		raw, err := Sender{From: mail.Address{Address: "fixdesk@example.com"}}.render(goldenMail(func(m *Mail) { m.Subject = subject }))
		if err != nil {
			t.Fatal(err)
		}
		read, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		want := strings.ToValidUTF8(subject, "\ufffd")
		if got, err := new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject")); err != nil || got != want {
			t.Errorf("got %q, want %q, %v", got, want, err)
		}
		if len(read.Header) != len(goldenHeaders) {
			t.Errorf("headers %v", read.Header)
		}
	})
}

var goldenHeaders = []string{
	"Auto-Submitted", "Date", "MIME-Version", "Message-ID", "Subject", "X-Auto-Response-Suppress", "X-Request-ID", "From", "To",
	"Content-Transfer-Encoding", "Content-Type",
}

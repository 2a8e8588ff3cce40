//go:build python

package email

import (
	"bytes"
	"context"
	"encoding/json"
	"net/mail"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// readByPython prints the headers of a message as Python's parser for modern mail
// returns them, the parser's complaints among them, and the bodies.
const readByPython = `
import email, email.policy, json, sys
m = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
print(json.dumps({
    "headers": {name: str(value) for name, value in m.items()},
    "defects": [str(d) for d in m.defects] + [str(d) for v in m.values() for d in v.defects],
    "text": m.get_body(("plain",)).get_content(),
}))
`

func TestPythonReadsHeadersAsTheyWereWritten(t *testing.T) {
	type message struct {
		Headers map[string]string `json:"headers"`
		Defects []string          `json:"defects"`
		Text    string            `json:"text"`
	}
	sender := Sender{From: mail.Address{Name: "Fixdesk Störungsdienst", Address: "fixdesk@example.com"}, DKIM: ed25519DKIM(t)}
	for name, subject := range subjects {
		m := goldenMail(func(m *Mail) {
			m.Subject, m.Thread, m.ReplyTo = subject, "ticket-1", strings.Repeat("r", 64)+"@example.com"
			m.Unsubscribe = "https://desk.example.com/unsubscribe?token=" + strings.Repeat("AZyr_-", 16)
			m.HTML = "<p>it burns</p>"
		})
		raw, err := sender.render(m)
		if err != nil {
			t.Fatal(err)
		}
		python := exec.CommandContext(context.Background(), "python3", "-c", readByPython)
		python.Stdin = bytes.NewReader(raw)
		out, err := python.Output()
		if err != nil {
			t.Fatalf("python3: %v", err)
		}
		var got message
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		delete(got.Headers, "DKIM-Signature")
		delete(got.Headers, "Content-Type")
		want := message{Text: m.Text, Defects: []string{}, Headers: map[string]string{
			"Subject": subject, "From": "Fixdesk Störungsdienst <fixdesk@example.com>", "To": "anna@example.org",
			"Reply-To": m.ReplyTo, "Message-ID": "<" + m.MessageID() + ">", "In-Reply-To": "<" + m.threadRoot() + ">",
			"References": "<" + m.threadRoot() + ">", "Date": "Thu, 05 Feb 2026 09:08:07 +0000", "MIME-Version": "1.0",
			"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "X-Request-ID": "req-1",
			"List-Unsubscribe": "<" + m.Unsubscribe + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %q\nwant %q\n%s", name, got, want, raw)
		}
	}
}

package inbound

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var updateMails = flag.Bool("update-mails", false, "write the goldens of testdata/mails")

// corpusRules are those of a server that names itself so in its Authentication-Results.
var corpusRules = Rules{AuthservID: "mx.fixdesk.test"}

// TestMailsOfManyProgramsAreRead reads each mail of testdata/mails with both kinds of
// line ends, and compares what clients of the API get with the golden beside it. The
// CRM's tests read the goldens, too.
func TestMailsOfManyProgramsAreRead(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mails/*.eml")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eml")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := itemOf(t, raw)
			golden := strings.TrimSuffix(file, ".eml") + ".json"
			if *updateMails {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			onWire := bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
			if again := wordsOf(t, onWire); again != wordsOf(t, raw) {
				t.Errorf("with CRLF it is\n%s", again)
			}
			if _, report := ParseReport(raw); report != strings.HasPrefix(name, "bounce-") && name != "bounce-by-subject-alone" {
				t.Errorf("a report: %t", report)
			}
		})
	}
}

// itemOf is the mail as the API shows it.
func itemOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	m := Mail{ReceivedAt: time.Date(2026, 1, 12, 10, 47, 6, 0, time.UTC), Source: "smtp", Status: "pending", Size: int64(len(raw)), Arrivals: 1}
	m.Envelope.From, m.Envelope.To = envelopeOf(raw)
	m.Content = corpusRules.Parse(raw, m.Envelope.From)
	return indented(t, viewMail(m))
}

// wordsOf is what a mail says besides its files, whose bytes may have line ends.
func wordsOf(t *testing.T, raw []byte) string {
	t.Helper()
	from, _ := envelopeOf(raw)
	c := corpusRules.Parse(raw, from)
	for i := range c.Attachments {
		c.Attachments[i].Size, c.Attachments[i].SHA256 = 0, ""
	}
	return string(indented(t, c))
}

func indented(t *testing.T, value any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

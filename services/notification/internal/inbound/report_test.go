package inbound

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update-reports", false, "write the goldens of testdata/reports")

// TestReportsOfMailServersAreRead reads each report of testdata/reports with both
// kinds of line ends. Those that begin with none- are no reports.
func TestReportsOfMailServersAreRead(t *testing.T) {
	files, err := filepath.Glob("testdata/reports/*.eml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".eml")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			report, ok := ParseReport(raw)
			if isNone := strings.HasPrefix(name, "none-"); ok == isNone {
				t.Fatalf("a report: %t, %+v", ok, report)
			}
			if !ok {
				return
			}
			compareGolden(t, strings.TrimSuffix(file, ".eml")+".json", report)
			onWire := bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
			again, _ := ParseReport(onWire)
			if got, want := marshal(t, again), marshal(t, report); !bytes.Equal(got, want) {
				t.Errorf("with CRLF it is another report:\n%s", got)
			}
		})
	}
}

func compareGolden(t *testing.T, file string, r Report) {
	t.Helper()
	got := marshal(t, r)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func marshal(t *testing.T, r Report) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFailureOfOneOfSeveralMailboxesIsNoFailureOfTheirAddress(t *testing.T) {
	failed, relayed := ReportedRecipient{Final: "a@x.example", Action: ActionFailed}, ReportedRecipient{Final: "b@x.example", Action: ActionRelayed}
	for _, c := range []struct {
		parts []ReportedRecipient
		email string
		want  Action
	}{
		{[]ReportedRecipient{failed, relayed}, "team@example.com", ActionRelayed},
		{[]ReportedRecipient{relayed, failed}, "team@example.com", ActionRelayed},
		{[]ReportedRecipient{failed, failed}, "team@example.com", ActionFailed},
		{[]ReportedRecipient{relayed, failed}, "a@x.example", ActionFailed},
		{[]ReportedRecipient{failed, relayed}, "b@x.example", ActionRelayed},
	} {
		if got, ok := (Report{Recipients: c.parts}).For(c.email); !ok || got.Action != c.want {
			t.Errorf("%+v for %s: %+v", c.parts, c.email, got)
		}
	}
	if _, ok := (Report{}).For("a@x.example"); ok {
		t.Error("an empty report has a part")
	}
}

func TestOnlyALastingCauseIsPermanent(t *testing.T) {
	for _, c := range []struct {
		r    ReportedRecipient
		want bool
	}{
		{ReportedRecipient{Action: ActionFailed, Status: "5.1.1"}, true},
		{ReportedRecipient{Action: ActionFailed, Status: "4.4.7", Code: 550}, false},
		{ReportedRecipient{Action: ActionFailed, Code: 550}, true},
		{ReportedRecipient{Action: ActionFailed, Code: 450}, false},
		{ReportedRecipient{Action: ActionFailed}, true},
		{ReportedRecipient{Action: ActionDelayed, Status: "5.1.1"}, false},
		{ReportedRecipient{Action: ActionRelayed}, false},
	} {
		if got := c.r.IsPermanent(); got != c.want {
			t.Errorf("%+v: %t", c.r, got)
		}
	}
}

// FuzzParseReport checks that any bytes are read within the limits, and that what is
// read can be stored.
func FuzzParseReport(f *testing.F) {
	files, err := filepath.Glob("testdata/reports/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, ok := ParseReport(raw)
		if ok && r.Kind == ReportDelivery && (len(r.Recipients) == 0 || len(r.Recipients) > maxReported) {
			t.Errorf("%d recipients", len(r.Recipients))
		}
		for _, part := range r.Recipients {
			if part.Code != 0 && (part.Code < 200 || part.Code > 599) || part.Status != "" && !slices.Contains([]string{"2", "4", "5"}, part.Status[:1]) {
				t.Errorf("%+v", part)
			}
			for _, text := range []string{part.Final, part.Original, part.Status, part.Text, part.Server} {
				if len(text) > maxReportAddress || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\r\n") {
					t.Errorf("%q can't be stored", text)
				}
			}
		}
	})
}

func TestLargeAndNestedMailsAreReadWithinTheLimits(t *testing.T) {
	nested := "Content-Type: text/plain\n\nend\n"
	for range 1000 {
		nested = "Content-Type: multipart/mixed; boundary=b\n\n--b\n" + nested
	}
	for name, raw := range map[string]string{
		"nested":  nested,
		"fields":  strings.Repeat("X: y\n", 1_000_000),
		"a line":  "From: mailer-daemon@x\n\n" + strings.Repeat("550 ", 1_000_000),
		"parts":   "Content-Type: multipart/report; boundary=b\n\n" + strings.Repeat("--b\n\n", 1_000_000),
		"groups":  "Content-Type: message/delivery-status\nReturn-Path: <>\n\n" + strings.Repeat("Action: failed\n\n", 1_000_000),
		"nothing": "",
	} {
		if r, _ := ParseReport([]byte(raw)); len(r.Recipients) > maxReported {
			t.Errorf("%s: %d recipients", name, len(r.Recipients))
		}
	}
}

package mailcatcher

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a catcher on free ports.
type running struct {
	*Catcher
	smtp, url string
}

// catcher starts a catcher to which its own replies come back.
func catcher(t *testing.T, dir string) running { return catcherWith(t, dir, "") }

func catcherWith(t *testing.T, dir, inbound string) running {
	t.Helper()
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	c, err := Start(dir, listeners[0], listeners[1], cmp.Or(inbound, listeners[0].Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		_ = c.Stop(context.Background())
	})
	return running{c, listeners[0].Addr().String(), "http://" + listeners[1].Addr().String()}
}

func (c running) send(t *testing.T, message string, to ...string) {
	t.Helper()
	message = strings.ReplaceAll(message, "\n", "\r\n")
	if err := smtp.SendMail(c.smtp, nil, "fixdesk@fixdesk.example", to, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func (c running) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	response, err := http.Get(c.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

type listed struct {
	Items []struct {
		ID, From, Subject string
		To                []string
		ReceivedAt        string `json:"received_at"`
	}
}

func (c running) list(t *testing.T, query string) listed {
	t.Helper()
	response, body := c.get(t, "/api/messages"+query)
	var l listed
	if err := json.Unmarshal([]byte(body), &l); err != nil || response.StatusCode != http.StatusOK || l.Items == nil {
		t.Fatalf("list: %s %s (%v)", response.Status, body, err)
	}
	return l
}

func TestCaughtMailIsListedNewestFirstAndByRecipient(t *testing.T) {
	c := catcher(t, t.TempDir())
	if n := len(c.list(t, "").Items); n != 0 {
		t.Fatalf("%d messages before the first", n)
	}
	c.send(t, "Subject: first\n\nhello", "ann@example.com")
	c.send(t, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n\nhello", "bob@example.com", "ann@example.com")
	all := c.list(t, "").Items
	if len(all) != 2 || all[0].Subject != "Grüße" || all[1].Subject != "first" {
		t.Fatalf("listed %+v", all)
	}
	if all[0].From != "fixdesk@fixdesk.example" || strings.Join(all[0].To, " ") != "bob@example.com ann@example.com" || !strings.HasSuffix(all[0].ReceivedAt, "Z") {
		t.Errorf("envelope %+v", all[0])
	}
	for query, want := range map[string]int{"?limit=1": 1, "?to=BOB@example.com": 1, "?to=ann@example.com": 2, "?to=nobody@example.com": 0} {
		if got := len(c.list(t, query).Items); got != want {
			t.Errorf("%s lists %d, want %d", query, got, want)
		}
	}
	for _, limit := range []string{"0", "-1", "x", "99999"} {
		if response, _ := c.get(t, "/api/messages?limit="+limit); response.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("limit=%s: %s", limit, response.Status)
		}
	}
}

const mixed = `From: Fixdesk <fixdesk@fixdesk.example>
Subject: parts
X-Request-ID: abc
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

caf=C3=A9
--inner
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: base64

PGI+Y2Fm6Twvc2NyaXB0Pg==
--inner--
--outer
Content-Type: text/plain
Content-Disposition: attachment; filename=a.txt

not the text
--outer--
`

func TestMessageIsDecodedAndItsSourceKept(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, mixed, "ann@example.com")
	id := c.list(t, "").Items[0].ID
	_, body := c.get(t, "/api/messages/"+id)
	var message struct {
		ID, Subject, Text, HTML string
		To                      []string
		Headers                 map[string][]string
	}
	if err := json.Unmarshal([]byte(body), &message); err != nil {
		t.Fatal(err)
	}
	if message.ID != id || message.Subject != "parts" || message.Text != "café" || message.HTML != "<b>café</script>" {
		t.Errorf("got %s", body)
	}
	if got := message.Headers["X-Request-Id"]; len(got) != 1 || got[0] != "abc" {
		t.Errorf("headers %v", message.Headers)
	}
	_, raw := c.get(t, "/api/messages/"+id+"/raw")
	if raw != strings.ReplaceAll(mixed, "\n", "\r\n") {
		t.Errorf("raw is not what was sent: %q", raw)
	}
}

func TestHTMLOfAMailIsSandboxed(t *testing.T) {
	c := catcher(t, t.TempDir())
	c.send(t, "Subject: <script>alert(1)</script>\nContent-Type: text/html\n\n<script>alert(2)</script>", "ann@example.com")
	id := c.list(t, "").Items[0].ID
	response, body := c.get(t, "/messages/"+id+"/html")
	policy := response.Header.Get("Content-Security-Policy")
	if !strings.Contains(body, "alert(2)") || !strings.HasPrefix(policy, "sandbox; default-src 'none'") {
		t.Errorf("policy %q for %s", policy, body)
	}
	response, body = c.get(t, "/")
	if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the inbox's policy is %q", policy)
	}
	if !strings.Contains(body, "sandbox title=\"The message") {
		t.Error("the inbox has no sandboxed frame")
	}
	_, script := c.get(t, "/inbox.js")
	for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
		if strings.Contains(script, way) {
			t.Errorf("the inbox's script uses %s", way)
		}
	}
	for _, path := range []string{"/api/messages", "/api/messages/" + id + "/raw", "/"} {
		if response, _ := c.get(t, path); response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", path)
		}
	}
}

func TestMailSurvivesARestartAndDeletionEmptiesTheInbox(t *testing.T) {
	dir := t.TempDir()
	first := catcher(t, dir)
	first.send(t, "Subject: kept\n\nhello", "ann@example.com")
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.mail.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := catcher(t, dir)
	if items := c.list(t, "").Items; len(items) != 1 || items[0].Subject != "kept" {
		t.Fatalf("after the restart: %+v", items)
	}
	request, _ := http.NewRequest(http.MethodDelete, c.url+"/api/messages", nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNoContent || len(c.list(t, "").Items) != 0 {
		t.Errorf("%s, and %d are left", response.Status, len(c.list(t, "").Items))
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestOnlyTheNewestAreKept(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := s.add(envelope{To: []string{"a@example.com"}}, fmt.Appendf(nil, "Subject: %d\r\n\r\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = openStore(dir, 3); err != nil {
		t.Fatal(err)
	}
	items := s.list(10, "")
	if len(items) != 3 || items[0].Subject != "4" || items[2].Subject != "2" {
		t.Errorf("kept %+v", items)
	}
}

func TestUnknownPathIs404AndNoFileOutsideIsServed(t *testing.T) {
	c := catcher(t, t.TempDir())
	for _, id := range []string{"0198c0de-0000-7000-8000-000000000000", "..%2f..%2fetc%2fpasswd", "x", "0198C0DE-0000-7000-8000-000000000000"} {
		for _, path := range []string{"/api/messages/" + id, "/api/messages/" + id + "/raw", "/messages/" + id + "/html"} {
			response, body := c.get(t, path)
			if response.StatusCode != http.StatusNotFound || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
				t.Errorf("%s: %s %s", path, response.Status, body)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(mixed, "\n", "\r\n")))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n"))
	f.Add([]byte("Subject: =?x?q?y?=\r\nContent-Type: text/html; charset=nope\r\n\r\n\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := json.Marshal(parse(raw)); err != nil {
			t.Error(err)
		}
		subject(raw)
	})
}

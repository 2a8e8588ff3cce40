package httpapi_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"

	"github.com/google/uuid"
)

func TestUnknownPathsAndMethodsAreProblems(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/things", "/v1/things/a/b/c", "/%2e%2e/etc/passwd", "/docs/../api.go", "/docs/LICENSE"} {
		res, body := f.send(t, "GET", path, "")
		wantProblem(t, res, body, 404, errs.CodeNotFound)
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"DELETE", "/v1/things", "GET, HEAD, POST, OPTIONS"}, {"PUT", "/v1/things/" + uuid.NewString(), "GET, HEAD, OPTIONS"}, {"GET", "/v1/things/1/accept", "POST, OPTIONS"},
		{"POST", "/healthz", "GET, HEAD, OPTIONS"}, {"TRACE", "/v1/things", "GET, HEAD, POST, OPTIONS"}, {"FOO", "/v1/things", "GET, HEAD, POST, OPTIONS"},
	} {
		res, body := f.send(t, tt.method, tt.path, "")
		wantProblem(t, res, body, 405, errs.CodeMethodNotAllowed)
		if got := res.Header.Get("Allow"); got != tt.allow {
			t.Errorf("%s %s: Allow %q", tt.method, tt.path, got)
		}
	}
	res, body := f.send(t, "FOO", "/nowhere", "")
	wantProblem(t, res, body, 404, errs.CodeNotFound)
}

func TestUnacceptableAnswerIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	for _, accept := range []string{"image/png", "application/json;q=0", "text/html, application/xml", "application/*;q=0", "application/json;q=x", ";", ",", "a;,b", "*", "/"} {
		res, body := f.send(t, "GET", "/v1/things/"+uuid.NewString(), "", "Accept: "+accept)
		wantProblem(t, res, body, 406, errs.CodeNotAcceptable)
	}
	for _, accept := range []string{"", "*/*", "application/json", "application/*", "text/html,*/*;q=0.1", "APPLICATION/JSON", "application/json;charset=utf-8", "image/png, application/json;q=0.001"} {
		if res, body := f.send(t, "GET", "/v1/things/"+uuid.NewString(), "", "Accept: "+accept); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", accept, res.StatusCode, body)
		}
	}
}

func TestHeadAnswersAsGetWithoutTheBody(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/healthz", "/v1/things", "/v1/things/" + uuid.NewString()} {
		res, body := f.send(t, "HEAD", path, "")
		if res.StatusCode != 200 || len(body) != 0 || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	if res, _ := f.send(t, "HEAD", "/v1/things", "", "Authorization: -"); res.StatusCode != 401 {
		t.Errorf("HEAD without a token: %d", res.StatusCode)
	}
	if !strings.Contains(f.log.String(), `"method":"HEAD"`) {
		t.Error("HEAD is logged as another method")
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/v1/things", "/nowhere", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/start.js", "/panic"} {
		res, _ := f.send(t, "GET", path, "", "Origin: https://evil.example")
		h := res.Header
		cached := map[bool]string{true: "no-cache", false: "no-store"}[path == "/openapi.json" || strings.HasPrefix(path, "/docs")]
		if h.Get("Cache-Control") != cached || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", path, h)
		}
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s without being configured", path, name)
			}
		}
	}
}

func TestValidRequestIDIsKept(t *testing.T) {
	f := newFixture(t, nil)
	for _, id := range []string{"a", "01890a5d-ac96-774b-bcce-b302099a8057", "Root=1-67891233-abcdef012345678912345678", strings.Repeat("x", 128)} {
		res, body := f.send(t, "GET", "/v1/named/a", "", "X-Request-ID: "+id)
		if res.Header.Get("X-Request-Id") != id || !strings.Contains(string(body), `"request_id":"`+id+`"`) {
			t.Errorf("%s became %s: %s", id, res.Header.Get("X-Request-Id"), body)
		}
	}
	for _, headers := range [][]string{
		{"X-Request-ID: -"}, {"X-Request-ID: "}, {"X-Request-ID: a b"}, {"X-Request-ID: " + strings.Repeat("x", 129)}, {"X-Request-ID: é"},
		{`X-Request-ID: a"b`}, {"X-Request-ID: <a@b>"}, {"X-Request-ID: a\tb"}, {"X-Request-ID: a", "+: X-Request-ID=b"},
	} {
		res, _ := f.send(t, "GET", "/v1/named/a", "", headers...)
		id, err := uuid.Parse(res.Header.Get("X-Request-Id"))
		if err != nil || id.Version() != 7 || len(res.Header.Values("X-Request-Id")) != 1 {
			t.Errorf("%q: %v", headers, res.Header.Values("X-Request-Id"))
		}
	}
}

func TestPanicIsA500WithoutItsText(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.send(t, "GET", "/panic", "")
	if wantProblem(t, res, body, 500, errs.CodeInternal); bytes.Contains(body, []byte("canary")) {
		t.Errorf("%s", body)
	}
	if log := f.log.String(); !strings.Contains(log, `"panic":"canary"`) || !strings.Contains(log, `"status":500`) {
		t.Errorf("log: %s", log)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", f.URL+"/panic-late", nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err = http.DefaultTransport.RoundTrip(req); err != nil {
		return
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Error("a broken answer looks complete")
	}
}

// rawRequest sends bytes unchanged and returns the first line of the answer.
func rawRequest(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func TestRawAttacksOnHTTPAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	address := f.Listener.Addr().String()
	head := "POST /v1/things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer admin-token\r\nContent-Type: application/json\r\nConnection: close\r\n"
	for name, tt := range map[string]struct{ request, want string }{
		"headers over 16 KiB":       {head + "X: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", "431"},
		"NUL in a header":           {head + "Idempotency-Key: a\x00b\r\nContent-Length: 2\r\n\r\n{}", "400"},
		"two lengths":               {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}a", "400"},
		"length and chunks":         {head + "Content-Length: 2\r\nTransfer-Encoding: gzip\r\n\r\n{}", "501"},
		"broken chunk":              {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "400"},
		"no host":                   {"GET /healthz HTTP/1.1\r\n\r\n", "400"},
		"bad escape in the path":    {"GET /v1/things/%zz HTTP/1.1\r\nHost: a\r\n\r\n", "400"},
		"headers just under 16 KiB": {"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + strings.Repeat("a", 15<<10) + "\r\n\r\n", "200"},
	} {
		if got := rawRequest(t, address, tt.request); !strings.HasPrefix(got, "HTTP/1.1 "+tt.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRequestThatCannotBeReadIsAnsweredWithAProblem(t *testing.T) {
	f := newFixture(t, nil)
	for code, request := range map[string]string{
		errs.CodeHeadersTooLarge:  "GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 17<<10) + "\r\n\r\n",
		errs.CodeMalformedRequest: "GET /v1/things/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		errs.CodeNotFound:         "GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", // the control: it can be read
	} {
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(rawRequest(t, f.Listener.Addr().String(), request))), nil)
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		wantProblem(t, res, body, res.StatusCode, code)
		if !strings.Contains(f.log.String(), res.Header.Get("X-Request-Id")) || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", code, res.Header)
		}
	}
}

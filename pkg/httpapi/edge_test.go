package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"

	"github.com/google/uuid"
)

func TestErrorsAreMappedInOnePlace(t *testing.T) {
	f := newFixture(t, nil)
	cause := errors.New("canary: SELECT secret FROM users")
	tests := []struct {
		name   string
		err    error
		status int
		code   string
		retry  string
		logged bool
	}{
		{"plain error", cause, 500, errs.CodeInternal, "", true},
		{"internal with a cause", errs.New(errs.Internal, errs.CodeInternal, "Sorry.").Because(cause), 500, errs.CodeInternal, "", true},
		{"wrapped", fmt.Errorf("create: %w", errs.New(errs.Conflict, errs.CodeConflict, "Taken.").Because(cause)), 409, errs.CodeConflict, "", false},
		{"rate limited", errs.New(errs.RateLimited, errs.CodeRateLimited, "Slow down.").After(90500 * time.Millisecond), 429, errs.CodeRateLimited, "91", false},
		{"unavailable", errs.New(errs.Unavailable, errs.CodeUnavailable, "Soon.").Because(cause), 503, errs.CodeUnavailable, "1", true},
		{"database away", fmt.Errorf("read: %w", errDown), 503, errs.CodeUnavailable, "1", true},
		{"deadline", context.DeadlineExceeded, 503, errs.CodeUnavailable, "1", true},
		{"missing", errs.Missing(), 404, errs.CodeNotFound, "", false},
		{"idempotency", errs.New(errs.BadRequest, errs.CodeIdempotencyMissing, "Add it."), 400, errs.CodeIdempotencyMissing, "", false},
		{"mismatch", errs.New(errs.Invalid, errs.CodeIdempotencyMismatch, "Other body."), 422, errs.CodeIdempotencyMismatch, "", false},
		{"version", errs.VersionMismatch(), 412, errs.CodeVersionMismatch, "", false},
		{"fields", errs.Validation(errs.Field{Location: "body.title", Message: "no"}), 422, errs.CodeValidationFailed, "", false},
		{"login", errs.New(errs.Unauthenticated, errs.CodeInvalidCredentials, "No."), 401, errs.CodeInvalidCredentials, "", false},
		{"pending", errs.New(errs.Forbidden, errs.CodeAccountPending, "Wait."), 403, errs.CodeAccountPending, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.fail = tt.err
			before := strings.Count(f.log.String(), cause.Error()) + strings.Count(f.log.String(), errDown.Error()) + strings.Count(f.log.String(), "deadline")
			res, body := f.send(t, "POST", "/v1/things", `{"title":"a"}`)
			p := wantProblem(t, res, body, tt.status, tt.code)
			if res.Header.Get("Retry-After") != tt.retry || strings.Contains(string(body), "canary") {
				t.Errorf("Retry-After %q: %s", res.Header.Get("Retry-After"), body)
			}
			if (res.Header.Get("WWW-Authenticate") == "Bearer") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", res.Header.Get("WWW-Authenticate"))
			}
			if tt.name == "fields" && (len(p.Errors) != 1 || p.Errors[0].Location != "body.title") {
				t.Errorf("errors %+v", p.Errors)
			}
			after := strings.Count(f.log.String(), cause.Error()) + strings.Count(f.log.String(), errDown.Error()) + strings.Count(f.log.String(), "deadline")
			if want := before + map[bool]int{true: 1}[tt.logged]; after != want {
				t.Errorf("the cause is in the log %d times more, want %d more: %s", after-before, want-before, f.log.String())
			}
		})
	}
}

func TestDisconnectedClientIsNotLoggedAsAFailure(t *testing.T) {
	f := newStreamFixture(t)
	url := f.serveWith(t, func(*http.Server) {})
	ctx, disconnect := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		req, err := http.NewRequestWithContext(ctx, "GET", url+"/v1/wait", nil)
		if err != nil {
			return
		}
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-f.slowStarted
	disconnect()
	<-left
	for deadline := time.Now().Add(patience); !strings.Contains(f.log.String(), `"status":499`); {
		if time.Now().After(deadline) {
			t.Fatalf("log: %s", f.log.String())
		}
		runtime.Gosched()
	}
	if log := f.log.String(); strings.Contains(log, "ERROR") || strings.Contains(log, "WARN") {
		t.Errorf("log: %s", log)
	}
}

func TestUndeclaredCodeIsLogged(t *testing.T) {
	f := newFixture(t, nil)
	const warning = "answer is not in the OpenAPI document"
	f.fail = errs.New(errs.Conflict, errs.CodeConflict, "No.")
	if f.send(t, "POST", "/v1/things", `{"title":"a"}`); strings.Contains(f.log.String(), warning) {
		t.Error("warned of a declared code")
	}
	f.fail = errs.New(errs.Conflict, errs.CodeLastAdmin, "No.")
	if f.send(t, "POST", "/v1/things", `{"title":"a"}`); !strings.Contains(f.log.String(), warning) {
		t.Error("an undeclared code was not noticed")
	}
}

func TestMissingAndHiddenResourcesHaveTheSameBytes(t *testing.T) {
	f := newFixture(t, nil)
	f.fail = errs.Missing()
	_, a := f.send(t, "GET", "/v1/things/"+uuid.NewString(), "", "X-Request-ID: same")
	_, b := f.send(t, "GET", "/v1/things/"+uuid.NewString(), "", "X-Request-ID: same")
	if string(a) != string(b) {
		t.Errorf("%s differs from %s", a, b)
	}
}

func TestAccessLogHasOneLineWithoutPathOrQueryOrToken(t *testing.T) {
	f := newFixture(t, nil)
	f.send(t, "GET", "/v1/things?q=canary", "", "X-Request-ID: r-1")
	f.send(t, "GET", "/v1/canary", "")
	f.send(t, "GET", "/v1/named/canary", "", "Authorization: Bearer canary")
	f.send(t, "GET", "/healthz", "")
	f.Close() // waits for the log
	lines := strings.Split(strings.TrimSpace(f.log.String()), "\n")
	if len(lines) != 3 || strings.Contains(f.log.String(), "canary") || strings.Contains(f.log.String(), "token") {
		t.Fatalf("log:\n%s", f.log.String())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"msg": "request", "method": "GET", "route": "/v1/things", "status": 200.0, "bytes": float64(len(`{"items":[],"next_cursor":"canary"}`) + 1),
		"client": "127.0.0.1", "principal": "principal-admin", "request_id": "r-1",
	}
	for name, value := range want {
		if line[name] != value {
			t.Errorf("%s = %v, want %v", name, line[name], value)
		}
	}
	if line["duration_ms"].(float64) <= 0 {
		t.Errorf("duration = %v", line["duration_ms"])
	}
}

func TestMetricsAreByRouteAndStatus(t *testing.T) {
	f := newFixture(t, nil)
	f.send(t, "GET", "/v1/things/"+uuid.NewString(), "")
	f.send(t, "GET", "/v1/"+uuid.NewString(), "")
	f.send(t, "BREW", "/v1/things", "")
	answer := f.ops(t, "GET", "/metrics")
	body := answer.Body.Bytes()
	if answer.Code != 200 || !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v", answer.Code, answer.Header())
	}
	for _, want := range []string{
		`http_requests_total{method="GET",route="/v1/things/{id}",status="200"} 1`,
		`http_requests_total{method="GET",route="unmatched",status="404"} 1`,
		`http_requests_total{method="other",route="unmatched",status="405"} 1`,
		`http_request_duration_seconds_count{method="GET",route="/v1/things/{id}",status="200"} 1`,
		`fixdesk_build_info{`, `go_goroutines`,
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestReadinessHasNoTextOfTheErrorAndDetailsOnlyForOperators(t *testing.T) {
	var down error
	f := newFixture(t, func(c *httpapi.Config) {
		c.Ready = func(ctx context.Context) (map[string]string, error) {
			if _, ok := ctx.Deadline(); !ok {
				return nil, errors.New("no deadline")
			}
			if down != nil {
				return map[string]string{"database": "unreachable"}, down
			}
			return map[string]string{"database": "ok"}, nil
		}
	})
	if res, body := f.send(t, "GET", "/readyz", "", "Authorization: -"); res.StatusCode != 200 || string(body) != `{"status":"ready"}`+"\n" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if a := f.ops(t, "GET", "/readyz"); a.Code != 200 || a.Body.String() != `{"status":"ready","details":{"database":"ok"}}`+"\n" {
		t.Errorf("operations: %d %s", a.Code, a.Body)
	}
	down = errDown
	res, body := f.send(t, "GET", "/readyz", "")
	wantProblem(t, res, body, 503, errs.CodeUnavailable)
	if strings.Contains(string(body), "details") || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s", body)
	}
	a := f.ops(t, "GET", "/readyz")
	wantProblem(t, a.Result(), a.Body.Bytes(), 503, errs.CodeUnavailable)
	if !strings.Contains(a.Body.String(), `"details":{"database":"unreachable"}`) || strings.Contains(string(body)+a.Body.String(), "canary") {
		t.Errorf("operations: %s", a.Body)
	}
	if res, _ := f.send(t, "GET", "/healthz", ""); res.StatusCode != 200 {
		t.Error("the process is up")
	}
}

func TestClientAddressIsTakenFromTrustedProxiesOnly(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
		untrusting bool
	}{
		{"no header", "10.0.0.1:1", nil, "10.0.0.1", false},
		{"one proxy", "10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7", false},
		{"forged on the left", "10.0.0.1:1", []string{"1.1.1.1, 203.0.113.7"}, "203.0.113.7", false},
		{"two proxies", "10.0.0.1:1", []string{"203.0.113.7, 10.0.0.2"}, "203.0.113.7", false},
		{"two headers", "10.0.0.1:1", []string{"1.1.1.1", "203.0.113.7, 10.0.0.2"}, "203.0.113.7", false},
		{"all trusted", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3", false},
		{"peer not trusted", "203.0.113.9:1", []string{"1.1.1.1"}, "203.0.113.9", false},
		{"no proxy trusted", "10.0.0.1:1", []string{"1.1.1.1"}, "10.0.0.1", true},
		{"junk", "10.0.0.1:1", []string{"1.1.1.1, canary"}, "10.0.0.1", false},
		{"junk behind a proxy", "10.0.0.1:1", []string{"canary, 10.0.0.2"}, "10.0.0.2", false},
		{"with a port", "10.0.0.1:1", []string{"1.1.1.1:80"}, "10.0.0.1", false},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::7"}, "2001:db8::7", false},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7", false},
		{"zone", "[fe80::1%eth0]:1", nil, "fe80::1", false},
	}
	for _, tt := range tests {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"] = tt.forwarded
		networks := trusted
		if tt.untrusting {
			networks = nil
		}
		if got := httpapi.ClientAddrOf(r, networks).String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCORSIsForTheConfiguredOriginsExactly(t *testing.T) {
	f := newFixture(t, func(c *httpapi.Config) { c.CORSOrigins = []string{"https://desk.example"} })
	res, _ := f.send(t, "OPTIONS", "/v1/things", "", "Origin: https://desk.example", "Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: authorization,content-type,idempotency-key,if-match,x-request-id", "Authorization: -")
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "https://desk.example" ||
		!strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "authorization") {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	res, _ = f.send(t, "GET", "/v1/things", "", "Origin: https://desk.example")
	if res.Header.Get("Access-Control-Allow-Origin") != "https://desk.example" || !slices.Contains(res.Header.Values("Vary"), "Origin") ||
		res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("request: %v", res.Header)
	}
	for _, origin := range []string{"https://desk.example.evil", "http://desk.example", "https://DESK.example", "null", "https://desk.example:444", "*"} {
		res, _ := f.send(t, "OPTIONS", "/v1/things", "", "Origin: "+origin, "Access-Control-Request-Method: POST")
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", origin, res.StatusCode, res.Header)
		}
	}
}

func TestSlowOrHugeConnectionsAreBounded(t *testing.T) {
	s := httpapi.NewServer(":0", http.NotFoundHandler())
	if s.ReadHeaderTimeout != 5*time.Second || s.ReadTimeout != 10*time.Second || s.WriteTimeout != 30*time.Second ||
		s.IdleTimeout != 60*time.Second || s.MaxHeaderBytes+4096 != 16<<10 {
		t.Errorf("%+v", s)
	}
}

func TestSlowClientsAreDisconnectedAndDelayNoOthers(t *testing.T) {
	f := newStreamFixture(t)
	url := f.serveWith(t, func(s *http.Server) {
		s.ReadHeaderTimeout, s.ReadTimeout = 5*time.Second, 5*time.Second
	})
	address := strings.TrimPrefix(url, "http://")
	var slow []net.Conn
	for i := range 300 {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		started := "GET /healthz HTTP/1.1\r\nHost: a\r\nX: "
		if i%2 == 0 {
			started = "POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
		}
		if _, err := io.WriteString(conn, started); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	for range 20 {
		start := time.Now()
		if status := get(t, url+"/healthz"); status != 200 {
			t.Fatalf("answered %d", status)
		}
		if took := time.Since(start); took > 5*time.Second { // it waits for no slow client
			t.Errorf("a request took %s beside slow clients", took)
		}
	}
	for i, conn := range slow {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || i%2 == 0 && !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
			t.Fatalf("slow client %d: %q, %v", i, answer, err)
		}
	}
}

func TestShutdownFinishesRequestsAndEndsStreams(t *testing.T) {
	f := newStreamFixture(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- httpapi.Serve(ctx, httpapi.NewServer("", f.api.Handler()), l, patience) }()
	base := "http://" + l.Addr().String()

	slow := make(chan int, 1)
	go func() { slow <- get(t, base+"/v1/slow") }()
	stream := open(t, base+"/v1/stream")
	<-f.slowStarted
	stop()
	if rest, err := io.ReadAll(stream.Body); err != nil || !strings.HasSuffix(string(rest), "bye\n") {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
	close(f.slowGo)
	if status := <-slow; status != 204 {
		t.Errorf("the request in flight was answered %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeNamesAnAddressInUseAndClosesRequestsThatDoNotEnd(t *testing.T) {
	f := newStreamFixture(t)
	defer close(f.slowGo)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- httpapi.Serve(ctx, httpapi.NewServer("", f.api.Handler()), l, 10*time.Millisecond) }()
	go func() { _ = get(t, "http://"+l.Addr().String()+"/v1/slow") }()
	<-f.slowStarted
	stop()
	if err := <-served; err == nil || !strings.Contains(err.Error(), "in flight") {
		t.Errorf("Serve: %v", err)
	}
	if err := httpapi.Serve(t.Context(), httpapi.NewServer("", f.api.Handler()), l, time.Second); err == nil {
		t.Error("served a closed listener")
	}
}

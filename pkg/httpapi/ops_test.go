package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
)

// ops sends a request to the operations listener's handler.
func (f *fixture) ops(t testing.TB, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	f.api.OpsHandler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

// serveOps starts the operations listener and returns its address.
func (f *fixture) serveOps(t testing.TB) (address string, stop func()) {
	t.Helper()
	stop, err := f.api.ServeOps(t.Context(), "T_OPS_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`"operations are served","address":"([^"]+)"`).FindStringSubmatch(f.log.String())
	if match == nil {
		t.Fatalf("the log does not have the address: %s", f.log)
	}
	return match[1], stop
}

func TestMetricsAndProfilesAreOnTheOperationsListenerAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for path, contains := range map[string]string{
		"/healthz": `{"status":"ok"}`, "/readyz": `{"status":"ready"}`, "/metrics": "go_goroutines", "/debug/pprof/": "goroutine",
		"/debug/pprof/cmdline": "", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/goroutine?debug=2": "goroutine",
		"/debug/pprof/profile?seconds=1": "", "/debug/pprof/symbol": "num_symbols",
	} {
		answer := f.ops(t, "GET", path)
		h := answer.Header()
		if answer.Code != 200 || !strings.Contains(answer.Body.String(), contains) || h.Get("Cache-Control") != "no-store" ||
			h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %v", path, answer.Code, h)
		}
		if strings.HasSuffix(path, "z") {
			continue
		}
		res, body := f.send(t, "GET", path, "")
		wantProblem(t, res, body, 404, errs.CodeNotFound)
	}
	for request, want := range map[[2]string]int{
		{"GET", "/v1/things"}: 404, {"GET", "/docs"}: 404, {"GET", "/"}: 404, {"POST", "/metrics"}: 405, {"DELETE", "/debug/pprof/heap"}: 405,
	} {
		if got := f.ops(t, request[0], request[1]).Code; got != want {
			t.Errorf("%s %s: %d, want %d", request[0], request[1], got, want)
		}
	}
}

func TestOperationsListenerIsNotReadyWhileTheServiceStartsOrStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.api.SetStarting("The database is being migrated.")
	if a := f.ops(t, "GET", "/readyz"); a.Code != 503 || !strings.Contains(a.Body.String(), "is being migrated") || a.Header().Get("Retry-After") == "" {
		t.Errorf("while it starts: %d %s", a.Code, a.Body)
	}
	for _, path := range []string{"/healthz", "/metrics"} {
		if a := f.ops(t, "GET", path); a.Code != 200 {
			t.Errorf("while it starts, %s: %d", path, a.Code)
		}
	}
	f.api.SetStarting("")
	if a := f.ops(t, "GET", "/readyz"); a.Code != 200 {
		t.Errorf("control: %d %s", a.Code, a.Body)
	}
	if err := f.Config.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); f.ops(t, "GET", "/readyz").Code != 503; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is ready while it stops")
		}
	}
}

func TestOperationsListenerRefusesPagesOfOtherHostsOnThisMachine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	address, stop := f.serveOps(t)
	t.Cleanup(stop)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		address: 200, "localhost:" + port: 200, "[::1]:" + port: 200, "localhost": 200, // the control
		"evil.example:" + port: 403, "evil.example": 403, "localhost.evil.example": 403, "10.0.0.1:" + port: 403,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+"/debug/pprof/cmdline", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := f.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != want || strings.Contains(string(body), "evil") {
			t.Errorf("%s: %d %s", host, res.StatusCode, body)
		}
	}
}

func TestProfileInProgressEndsWithTheOperationsListener(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	address, stop := f.serveOps(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /debug/pprof/trace?seconds=600 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > patience {
		t.Errorf("the stop took %s", took)
	}
	if _, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address); err == nil {
		t.Error("it still listens")
	}
}

func TestOperationsAddressInUseIsOneLineThatNamesItsVariable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	address, stop := f.serveOps(t)
	t.Cleanup(stop)
	_, err := f.api.ServeOps(t.Context(), "T_OPS_ADDR", address)
	if err == nil || !strings.HasPrefix(err.Error(), "T_OPS_ADDR: ") || !strings.Contains(err.Error(), "in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	before := bytes.Count([]byte(f.log.String()), []byte("operations are served"))
	none, err := f.api.ServeOps(t.Context(), "T_OPS_ADDR", "")
	if err != nil {
		t.Fatal(err)
	}
	none()
	if after := bytes.Count([]byte(f.log.String()), []byte("operations are served")); after != before {
		t.Error("an empty address is listened on")
	}
}

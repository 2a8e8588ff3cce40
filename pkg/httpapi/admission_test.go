package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// patience is the limit of every wait, so long that a busy machine fails no test.
const patience = 4 * time.Minute

// occupied is a service whose operations end when release is closed or their
// context ends.
type occupied struct {
	*fixture
	started atomic.Int32
	release chan struct{}
}

func newOccupied(t *testing.T, change func(*httpapi.Config)) *occupied {
	t.Helper()
	o := &occupied{release: make(chan struct{})}
	o.fixture = newFixtureWith(t, change, func(f *fixture) {
		op := func(method, path string) httpapi.Operation {
			return httpapi.Operation{Method: method, Path: path, ID: method + path, Summary: "-", Tag: "test", Public: true}
		}
		httpapi.Register(f.api, op("GET", "/v1/work"), func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			o.started.Add(1)
			select {
			case <-o.release:
				return nil, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		httpapi.Register(f.api, op("GET", "/v1/quick"), func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		httpapi.Register(f.api, op("POST", "/v1/quick"), func(context.Context, *struct{ Body thing }) (*struct{}, error) { return nil, nil })
		httpapi.RegisterStream(f.api, op("GET", "/v1/stream"), "text/plain", func(context.Context, *struct{}) (httpapi.Stream, error) {
			return func(ctx context.Context, w *httpapi.StreamWriter) error {
				_, err := io.WriteString(w, "begun\n")
				if err == nil {
					err = w.Flush()
				}
				<-ctx.Done()
				return err
			}, nil
		})
	})
	return o
}

// hold occupies n slots and waits until their requests are being served.
func (o *occupied) hold(t *testing.T, n int) (wait func() (statuses map[int]int)) {
	t.Helper()
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		statuses = map[int]int{}
	)
	for range n {
		wg.Go(func() {
			res, _ := o.send(t, "GET", "/v1/work", "")
			mu.Lock()
			defer mu.Unlock()
			statuses[res.StatusCode]++
		})
	}
	eventually(t, "the requests are being served", func() bool { return int(o.started.Load()) == n })
	return func() map[int]int {
		wg.Wait()
		return statuses
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %s: %s", patience, what)
		}
	}
}

func TestRequestBeyondItsDeadlineIsCanceledAndAnswered503(t *testing.T) {
	t.Parallel()
	o := newOccupied(t, func(c *httpapi.Config) { c.RequestTimeout = 500 * time.Millisecond })
	res, body := o.send(t, "GET", "/v1/work", "")
	wantProblem(t, res, body, 503, errs.CodeUnavailable)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if log := o.log.String(); !strings.Contains(log, "deadline exceeded") || strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("log: %s", log)
	}
	if res, _ := o.send(t, "GET", "/v1/quick", ""); res.StatusCode != 204 { // the control
		t.Errorf("a request within its deadline is answered %d", res.StatusCode)
	}
}

func TestStreamOutlivesTheDeadlineOfRequests(t *testing.T) {
	t.Parallel()
	const deadline = 20 * time.Millisecond
	o := newOccupied(t, func(c *httpapi.Config) { c.RequestTimeout = deadline })
	res, err := http.Get(o.URL + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, len("begun\n"))); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := res.Body.Read(make([]byte, 1))
		ended <- err
	}()
	select {
	case err := <-ended:
		t.Errorf("the stream ended: %v", err)
	case <-time.After(10 * deadline):
	}
}

func TestRequestsBeyondTheLimitAreRefusedAndThoseUnderWayFinish(t *testing.T) {
	t.Parallel()
	o := newOccupied(t, func(c *httpapi.Config) { c.MaxRequests = 2 })
	statuses := o.hold(t, 2)
	began := time.Now()
	res, body := o.send(t, "GET", "/v1/quick", "")
	wantProblem(t, res, body, 503, errs.CodeUnavailable)
	if took := time.Since(began); res.Header.Get("Retry-After") != "1" || took < 400*time.Millisecond || took > patience {
		t.Errorf("turned away after %s, Retry-After %q", took, res.Header.Get("Retry-After"))
	}
	for _, path := range []string{"/healthz", "/readyz", "/openapi.json"} {
		if res, _ := o.send(t, "GET", path, ""); res.StatusCode != 200 {
			t.Errorf("%s is answered %d", path, res.StatusCode)
		}
	}
	if metrics := o.ops(t, "GET", "/metrics").Body.Bytes(); !strings.Contains(string(metrics), "http_requests_rejected_total 1\n") ||
		!strings.Contains(string(metrics), "http_requests_in_progress 2\n") {
		t.Errorf("metrics: %s", metrics)
	}
	close(o.release)
	if got := statuses(); got[204] != 2 {
		t.Errorf("requests under way are answered %v", got)
	}
	if res, _ := o.send(t, "GET", "/v1/quick", ""); res.StatusCode != 204 {
		t.Errorf("afterwards a request is answered %d", res.StatusCode)
	}
}

// A request of another origin is refused after it was routed, since its answer has
// headers of CORS.
func TestEarlyRefusalIsTheAnswerOfEveryOther(t *testing.T) {
	t.Parallel()
	o := newOccupied(t, func(c *httpapi.Config) { c.MaxRequests, c.CORSOrigins = 1, []string{"https://desk.example"} })
	statuses := o.hold(t, 1)
	answers := map[string]string{}
	for _, origin := range []string{"", "https://desk.example"} {
		headers := []string{"X-Request-ID: same"}
		if origin != "" {
			headers = append(headers, "Origin: "+origin)
		}
		res, body := o.send(t, "POST", "/v1/quick", `{"title":"x"}`, headers...)
		wantProblem(t, res, body, 503, errs.CodeUnavailable)
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != origin {
			t.Errorf("origin %q is allowed %q", origin, got)
		}
		for _, name := range []string{"Date", "Vary", "Access-Control-Allow-Origin", "Access-Control-Expose-Headers"} {
			res.Header.Del(name)
		}
		answers[origin] = fmt.Sprint(res.Header, string(body))
	}
	if early, late := answers[""], answers["https://desk.example"]; early != late {
		t.Errorf("refused early:\n%s\nafter it was routed:\n%s", early, late)
	}
	if res, _ := o.send(t, "GET", "/v1/nothing", ""); res.StatusCode != 404 {
		t.Errorf("a path of no operation is answered %d", res.StatusCode)
	}
	if metrics := o.ops(t, "GET", "/metrics").Body.String(); !strings.Contains(metrics, `http_requests_total{method="POST",route="/v1/quick",status="503"} 2`+"\n") {
		t.Errorf("metrics: %s", metrics)
	}
	close(o.release)
	statuses()
	for range 3 { // the slot came back
		if res, _ := o.send(t, "POST", "/v1/quick", `{"title":"x"}`); res.StatusCode != 204 {
			t.Errorf("afterwards a request is answered %d", res.StatusCode)
		}
	}
}

func TestStreamsAndSlowBodiesHoldNoSlot(t *testing.T) {
	t.Parallel()
	o := newOccupied(t, func(c *httpapi.Config) { c.MaxRequests = 1 })
	for range 3 {
		res, err := http.Get(o.URL + "/v1/stream")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != 200 {
			t.Fatalf("a stream is answered %d", res.StatusCode)
		}
	}
	const text = `{"title":"slow"}`
	var slow []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", o.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "POST /v1/quick HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: "+
			strconv.Itoa(len(text))+"\r\n\r\n"+text[:5])
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	for range 20 {
		if res, _ := o.send(t, "GET", "/v1/quick", ""); res.StatusCode != 204 {
			t.Fatalf("a request is answered %d", res.StatusCode)
		}
	}
	answer := make([]byte, len("HTTP/1.1 204"))
	if _, err := io.WriteString(slow[0], text[5:]); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(slow[0], answer); err != nil || string(answer) != "HTTP/1.1 204" {
		t.Errorf("the slow request is answered %s, %v", answer, err)
	}
	statuses := o.hold(t, 1) // the control: an ordinary request holds one
	res, body := o.send(t, "GET", "/v1/quick", "")
	wantProblem(t, res, body, 503, errs.CodeUnavailable)
	close(o.release)
	statuses()
}

func TestStopCancelsRequestsThatWouldOutliveIt(t *testing.T) {
	t.Parallel()
	o := newOccupied(t, nil)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- httpapi.Serve(ctx, httpapi.NewServer("", o.Config.Handler), listener, 4*time.Second)
	}()
	answered := make(chan int, 1)
	go func() {
		res, err := http.Get("http://" + listener.Addr().String() + "/v1/work")
		if err != nil {
			answered <- 0
			return
		}
		defer res.Body.Close()
		answered <- res.StatusCode
	}()
	eventually(t, "the request is being served", func() bool { return o.started.Load() == 1 })
	stop()
	if status := <-answered; status != 503 {
		t.Errorf("the request is answered %d", status)
	}
	if err := <-served; err != nil {
		t.Errorf("the stop is not clean: %v", err)
	}
}

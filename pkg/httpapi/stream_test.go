package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

type streamFixture struct {
	api         *httpapi.API
	log         *lockedBuffer
	slowStarted chan struct{}
	slowGo      chan struct{}
}

type streamInput struct {
	Fail string `query:"fail" enum:"early,late"`
}

func newStreamFixture(t *testing.T) *streamFixture {
	t.Helper()
	f := &streamFixture{log: &lockedBuffer{}, slowStarted: make(chan struct{}, 1), slowGo: make(chan struct{})}
	f.api = httpapi.New(httpapi.Config{
		Title: "Test", Version: "1", Logger: obs.NewLogger(f.log, slog.LevelInfo, obs.JSON),
		Registry: obs.NewRegistry("test", "1"), Now: time.Now, Authenticate: authenticate,
	})
	op := httpapi.Operation{Method: "GET", Path: "/v1/stream", ID: "stream", Summary: "s", Tag: "t", Public: true}
	httpapi.RegisterStream(f.api, op, "text/event-stream", f.stream)
	op.Path, op.ID = "/v1/slow", "slow"
	httpapi.Register(f.api, op, func(context.Context, *struct{}) (*struct{}, error) {
		f.slowStarted <- struct{}{}
		<-f.slowGo
		return nil, nil
	})
	op.Path, op.ID = "/v1/wait", "wait"
	httpapi.Register(f.api, op, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		f.slowStarted <- struct{}{}
		<-ctx.Done()
		return nil, fmt.Errorf("read: %w", ctx.Err())
	})
	op.Method, op.Path, op.ID = "POST", "/v1/echo", "echo"
	httpapi.Register(f.api, op, func(_ context.Context, in *createInput) (*createOutput, error) {
		return &createOutput{Body: in.Body}, nil
	})
	return f
}

// stream writes hello and waits until its context ends.
func (f *streamFixture) stream(_ context.Context, in *streamInput) (httpapi.Stream, error) {
	if in.Fail == "early" {
		return nil, errs.Missing()
	}
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		if _, err := io.WriteString(w, "hello\n"); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if in.Fail == "late" {
			return errors.New("the source broke")
		}
		<-ctx.Done()
		_, err := io.WriteString(w, "bye\n")
		return err
	}, nil
}

func open(t *testing.T, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// get is for goroutines: it returns the status, 0 after a failure.
func get(t *testing.T, url string) int {
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// serveWith runs the API with a server that change configures.
func (f *streamFixture) serveWith(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.Config = httpapi.NewServer("", f.api.Handler())
	change(s.Config)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func TestStreamOutlivesTheDeadlinesOfTheServer(t *testing.T) {
	f := newStreamFixture(t)
	for deadline := time.Second; ; deadline *= 4 { // a busy machine may not begin the stream in one second
		err := outlives(t, f, deadline)
		if err == nil {
			return
		}
		if deadline > 10*time.Second {
			t.Fatal(err)
		}
		t.Logf("with a deadline of %s: %v", deadline, err)
	}
}

// outlives returns an error if a stream ends with the deadlines of its server.
func outlives(t *testing.T, f *streamFixture, deadline time.Duration) error {
	t.Helper()
	url := f.serveWith(t, func(s *http.Server) { s.ReadTimeout, s.WriteTimeout = deadline, deadline })
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/v1/stream", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		return fmt.Errorf("%d %v", res.StatusCode, res.Header)
	}
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "hello\n" {
		return fmt.Errorf("%q, %w", line, err)
	}
	ended := make(chan struct{})
	go func() { _, _ = lines.ReadString('\n'); close(ended) }()
	select {
	case <-ended:
		return errors.New("the stream ended with the deadline")
	case <-time.After(2 * deadline):
		return nil
	}
}

// An ordinary answer keeps the deadlines, so that one of that length fails.
func TestControlOrdinaryAnswerEndsWithTheDeadline(t *testing.T) {
	f := newStreamFixture(t)
	url := f.serveWith(t, func(s *http.Server) { s.WriteTimeout = 50 * time.Millisecond })
	go func() {
		<-f.slowStarted
		<-time.After(300 * time.Millisecond)
		close(f.slowGo)
	}()
	if status := get(t, url+"/v1/slow"); status != 0 {
		t.Errorf("answered %d after the write deadline", status)
	}
}

func TestErrorBeforeTheStreamIsAProblemAndLaterClosesTheConnection(t *testing.T) {
	f := newStreamFixture(t)
	url := f.serveWith(t, func(*http.Server) {})
	res := open(t, url+"/v1/stream?fail=early")
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, res, body, 404, errs.CodeNotFound)

	res = open(t, url+"/v1/stream?fail=late")
	if body, err = io.ReadAll(res.Body); err == nil || string(body) != "hello\n" {
		t.Errorf("a broken stream looks complete: %q", body)
	}
	if !strings.Contains(f.log.String(), "the source broke") {
		t.Error("the failure is not in the log")
	}
}

func TestStreamIsOfItsMediaTypeAlone(t *testing.T) {
	f := newFixture(t, nil)
	for _, accept := range []string{"text/csv", "text/*", "*/*", "application/json, text/csv;q=0.1"} {
		res, body := f.send(t, "GET", "/v1/export", "", "Accept: "+accept)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/csv" || string(body) != "title\n" {
			t.Errorf("%s: %d %v %q", accept, res.StatusCode, res.Header, body)
		}
	}
	if res, body := f.send(t, "HEAD", "/v1/export", ""); res.StatusCode != 200 || len(body) > 0 || res.Header.Get("Content-Type") != "text/csv" {
		t.Errorf("HEAD: %d %v", res.StatusCode, res.Header)
	}
	f.fail = errs.Missing()
	res, body := f.send(t, "GET", "/v1/export", "")
	wantProblem(t, res, body, 404, errs.CodeNotFound)
	res, body = f.send(t, "GET", "/v1/export", "", "Accept: application/json")
	wantProblem(t, res, body, 406, errs.CodeNotAcceptable)
}

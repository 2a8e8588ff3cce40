package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

// detachFixture serves /v1/events, a stream that is detached and does what its query
// says, with a server that can be stopped.
type detachFixture struct {
	*fixture
	registry *prometheus.Registry
	addr     string
	stop     context.CancelFunc
	served   chan error
	ended    chan struct{} // a stream ended by its context
	hold     chan struct{} // a stream that holds goes on when it is closed
}

type detachInput struct {
	Do string `query:"do" enum:"wait,fail,panic,hold,large"`
}

func newDetachFixture(t *testing.T, drain time.Duration) *detachFixture {
	t.Helper()
	d := &detachFixture{served: make(chan error, 1), ended: make(chan struct{}, 1), hold: make(chan struct{})}
	d.registry = obs.NewRegistry("test", "1")
	d.fixture = newFixtureWith(t, func(c *httpapi.Config) { c.Registry, c.H2C = d.registry, true }, func(f *fixture) {
		httpapi.RegisterStream(f.api, httpapi.Operation{
			Method: "GET", Path: "/v1/events", ID: "events", Summary: "s", Tag: "t", Allow: []string{"customer"},
		}, "text/event-stream", d.open)
	})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	go func() { d.served <- httpapi.Serve(ctx, httpapi.NewServer("", d.api.Handler()), l, drain) }()
	t.Cleanup(func() { d.stop(); d.served <- <-d.served })
	return d
}

func (d *detachFixture) open(_ context.Context, in *detachInput) (httpapi.Stream, error) {
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		w.SetHeader("X-Early", "yes")
		return w.Detach(ctx, func(ctx context.Context, w *httpapi.StreamWriter) error {
			w.SetHeader("X-Late", "no")
			if _, err := io.WriteString(w, "hello\n"); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			switch in.Do {
			case "fail":
				return errors.New("the source broke")
			case "panic":
				panic("canary")
			case "hold":
				<-d.hold
				return nil
			case "large":
				_, err := io.WriteString(w, strings.Repeat("x", 100_000))
				return err
			}
			<-ctx.Done()
			d.ended <- struct{}{}
			_, err := io.WriteString(w, "bye\n")
			return err
		})
	}, nil
}

// request sends a request of a customer over a connection of its own and reads the
// headers of the answer.
func (d *detachFixture) request(t *testing.T, do, protocol string, headers ...string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	lines := append([]string{"GET /v1/events?do=" + do + " " + protocol, "Host: x", "Authorization: Bearer customer-token", "X-Request-Id: of-" + do}, headers...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, res
}

// eventually waits for the condition.
func (d *detachFixture) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after %s: %s; log: %s", patience, what, d.log)
		}
	}
}

// connections reads http_connections_open.
func (d *detachFixture) connections(t *testing.T) float64 {
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "http_connections_open" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("there is no gauge of connections")
	return 0
}

// accessLine is the beginning of the access log line of a stream.
func (d *detachFixture) accessLine(do string) string {
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, `"msg":"request"`) && strings.Contains(line, "of-"+do) {
			return line
		}
	}
	return ""
}

func TestDetachedStreamIsWellFormedAndLoggedAtItsEnd(t *testing.T) {
	t.Parallel()
	d := newDetachFixture(t, patience)
	_, res := d.request(t, "wait", "HTTP/1.1")
	h := res.Header
	if res.StatusCode != 200 || !res.Close || fmt.Sprint(res.TransferEncoding) != "[chunked]" || h.Get("Content-Type") != "text/event-stream" ||
		h.Get("X-Early") != "yes" || h.Get("X-Late") != "" || h.Get("X-Request-Id") != "of-wait" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("%s, close %t, %v", res.Status, res.Close, h)
	}
	if date, err := http.ParseTime(h.Get("Date")); err != nil || time.Since(date).Abs() > patience {
		t.Errorf("Date: %s", h.Get("Date"))
	}
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if n, line := d.connections(t), d.accessLine("wait"); n != 1 || line != "" {
		t.Errorf("while it is open: %v connections, logged %q", n, line)
	}
	d.stop()
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "bye\n" {
		t.Errorf("the end: %q, %v", rest, err)
	}
	if err := <-d.served; err != nil {
		t.Error(err)
	}
	d.served <- nil
	for _, want := range []string{`"method":"GET","route":"/v1/events","status":200,"bytes":10,`, `"client":"127.0.0.1","principal":"principal-custo"`} {
		if line := d.accessLine("wait"); !strings.Contains(line, want) {
			t.Errorf("%q is not in %q", want, line)
		}
	}
	if n := d.connections(t); n != 0 {
		t.Errorf("%v connections are left", n)
	}
}

func TestDetachedStreamThatFailsLooksIncomplete(t *testing.T) {
	t.Parallel()
	d := newDetachFixture(t, patience)
	for do, logged := range map[string]string{"fail": `"msg":"request failed","route":"/v1/events","error":"the source broke"`, "panic": `"panic":"canary"`} {
		_, res := d.request(t, do, "HTTP/1.1")
		if body, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "hello\n" {
			t.Errorf("%s: %q, %v", do, body, err)
		}
		d.eventually(t, do+" is logged", func() bool {
			return strings.Contains(d.log.String(), logged) && strings.Contains(d.accessLine(do), `"status":200`)
		})
	}
	_, res := d.request(t, "large", "HTTP/1.1") // the control, in several chunks
	if body, err := io.ReadAll(res.Body); err != nil || len(body) != len("hello\n")+100_000 {
		t.Errorf("a complete stream: %d bytes, %v", len(body), err)
	}
}

func TestDetachedStreamEndsWhenItsClientIsGone(t *testing.T) {
	t.Parallel()
	d := newDetachFixture(t, patience)
	for name, leave := range map[string]func(net.Conn) error{
		"closed":    net.Conn.Close,
		"flooding":  func(c net.Conn) error { _, err := c.Write(make([]byte, 1<<20)); return ignoreReset(err) },
		"half open": func(c net.Conn) error { return c.(*net.TCPConn).CloseWrite() },
	} {
		conn, _ := d.request(t, "wait", "HTTP/1.1")
		if _, err := conn.Write(make([]byte, 1000)); err != nil { // a little more does nothing
			t.Fatal(err)
		}
		if err := leave(conn); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		<-d.ended
		d.eventually(t, name+": the connection is closed", func() bool { return d.connections(t) == 0 })
	}
}

// ignoreReset is nil for the error of a connection that the other side closed.
func ignoreReset(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return nil
	}
	return err
}

func TestStopClosesDetachedStreamsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	d := newDetachFixture(t, 50*time.Millisecond)
	_, res := d.request(t, "hold", "HTTP/1.1")
	d.stop()
	if err := <-d.served; err == nil || !strings.Contains(err.Error(), "streams still open") {
		t.Errorf("the stop: %v", err)
	}
	d.served <- nil
	if body, err := io.ReadAll(res.Body); err == nil || string(body) != "hello\n" {
		t.Errorf("%q, %v", body, err)
	}
	close(d.hold)
	d.eventually(t, "it has ended", func() bool { return d.connections(t) == 0 })
}

func TestStreamOfAnotherProtocolIsNotDetached(t *testing.T) {
	t.Parallel()
	d := newDetachFixture(t, patience)
	_, res := d.request(t, "large", "HTTP/1.0") // has no chunks
	if body, err := io.ReadAll(res.Body); err != nil || len(res.TransferEncoding) > 0 || len(body) != len("hello\n")+100_000 {
		t.Errorf("HTTP/1.0: %v, %d bytes, %v", res.TransferEncoding, len(body), err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.addr+"/v1/events?do=large", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer customer-token")
	second, err := newH2CClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Body.Close() }()
	if body, err := io.ReadAll(second.Body); err != nil || second.ProtoMajor != 2 || second.Header.Get("Connection") != "" || len(body) != len("hello\n")+100_000 {
		t.Errorf("%s: %v, %d bytes, %v", second.Proto, second.Header, len(body), err)
	}
	d.eventually(t, "at most that of HTTP/2 is open", func() bool { return d.connections(t) <= 1 })
}

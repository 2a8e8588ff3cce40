package httpapi_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/httpapi"
)

// running is an API that Run serves.
type running struct {
	*fixture
	url       string
	terminate func() // as SIGTERM does
	finish    func() // ends the job and so the service
	ended     chan error
}

func newRunning(t *testing.T, drainDelay time.Duration) *running {
	t.Helper()
	r := &running{fixture: newFixture(t, nil), ended: make(chan error, 1)}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + l.Addr().String()
	var ctx, job context.Context
	ctx, r.terminate = context.WithCancel(context.Background())
	job, r.finish = context.WithCancel(context.Background())
	t.Cleanup(r.terminate)
	t.Cleanup(r.finish)
	started := make(chan struct{})
	go func() {
		r.ended <- r.api.Run(ctx, l, httpapi.Process{
			Prepare: func(context.Context) error { return nil }, Started: func() { close(started) },
			Jobs: []func(context.Context) error{func(ctx context.Context) error {
				select {
				case <-ctx.Done():
				case <-job.Done():
				}
				return nil
			}},
			DrainDelay: drainDelay, StopWithin: patience,
		})
	}()
	<-started
	return r
}

// get sends a request over a connection of its own. The status is 0 when nothing
// listens.
func (r *running) get(t *testing.T, path string) (status int, connection string) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	return res.StatusCode, map[bool]string{true: "close"}[res.Close]
}

func TestStopIsNotReadyAndServesUntilTheDrainDelayIsOver(t *testing.T) {
	t.Parallel()
	r := newRunning(t, time.Hour)
	if status, connection := r.get(t, "/readyz"); status != 200 || connection != "" {
		t.Fatalf("control: before the stop /readyz is %d, connection %q", status, connection)
	}
	r.terminate()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if status, _ := r.get(t, "/readyz"); status == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it stays ready")
		}
	}
	for path, want := range map[string]int{"/healthz": 200, "/v1/things": 401} {
		if status, connection := r.get(t, path); status != want || connection != "close" {
			t.Errorf("while it drains, %s is %d, connection %q", path, status, connection)
		}
	}
	r.finish() // what fails meanwhile ends the delay
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if status, _ := r.get(t, "/healthz"); status != 0 {
		t.Errorf("after the stop /healthz is %d", status)
	}
}

func TestDrainDelayEndsByItself(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 10*time.Millisecond)
	r.terminate()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestStopWithoutDrainDelayBeginsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 0)
	r.terminate()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(r.log.String(), "still serving") {
		t.Error("it drains")
	}
}

func TestCheckHealthAsksTheServiceOfThisHost(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 0)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(r.url, "http://"))
	for _, address := range []string{"127.0.0.1:" + port, "0.0.0.0:" + port, ":" + port} {
		for _, path := range []string{"/healthz", "/readyz"} {
			if err := httpapi.CheckHealth(t.Context(), address, path); err != nil {
				t.Errorf("%s%s: %v", address, path, err)
			}
		}
	}
	r.api.SetStarting("The database is being migrated.")
	if err := httpapi.CheckHealth(t.Context(), ":"+port, "/readyz"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("not ready: %v", err)
	}
	r.terminate()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if err := httpapi.CheckHealth(t.Context(), ":"+port, "/healthz"); err == nil {
		t.Error("a service that is gone is healthy")
	}
}

func TestAddressesOfClientsCanBeLeftOutOfTheLog(t *testing.T) {
	t.Parallel()
	for hide, want := range map[bool]int{true: 0, false: 1} { // false is the control
		f := newFixture(t, func(c *httpapi.Config) { c.HideClients = hide })
		f.send(t, "GET", "/v1/things", "")
		for deadline := time.Now().Add(patience); !strings.Contains(f.log.String(), `"msg":"request"`); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the request is not in the log")
			}
		}
		if got := strings.Count(f.log.String(), "127.0.0.1"); got != want {
			t.Errorf("hidden: %t; the address is in the log %d times: %s", hide, got, f.log)
		}
	}
}

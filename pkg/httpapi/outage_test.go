package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// outageFixture is a service whose clock and readiness the test sets.
type outageFixture struct {
	*fixture
	passed atomic.Int64 // time since the start
	down   error
}

func newOutageFixture(t *testing.T) *outageFixture {
	t.Helper()
	f := &outageFixture{}
	start := time.Now()
	f.fixture = newFixture(t, func(c *httpapi.Config) {
		c.Now = func() time.Time { return start.Add(time.Duration(f.passed.Load())) }
		c.Ready = func(context.Context) (map[string]string, error) { return nil, f.down }
	})
	return f
}

func (f *outageFixture) pass(d time.Duration) { f.passed.Add(int64(d)) }

// get sends n requests, which must be answered with status.
func (f *outageFixture) get(t *testing.T, n int, path string, status int) {
	t.Helper()
	for range n {
		if res, body := f.send(t, "GET", path, ""); res.StatusCode != status {
			t.Fatalf("%s: %d %s", path, res.StatusCode, body)
		}
	}
}

func (f *outageFixture) wantLogged(t *testing.T, text string, times int) {
	t.Helper()
	if n := strings.Count(f.log.String(), text); n != times {
		t.Errorf("%s is logged %d times, want %d: %s", text, n, times, f.log.String())
	}
}

func TestOutageIsLoggedWhenItBeginsAndWhenItEnds(t *testing.T) {
	f := newOutageFixture(t)
	const began, ended = `"msg":"unavailable"`, `"msg":"available again"`
	f.fail = fmt.Errorf("read: %w", errDown)
	f.get(t, 20, "/v1/things", 503)
	f.wantLogged(t, began, 1)
	f.wantLogged(t, errDown.Error(), 1)

	f.fail = nil
	f.get(t, 1, "/v1/things", 200) // a success among failures
	f.fail = errDown
	f.get(t, 1, "/v1/things", 503)
	f.wantLogged(t, began, 1)
	f.wantLogged(t, ended, 0)

	f.fail = nil
	f.pass(time.Minute)
	f.get(t, 1, "/v1/named/a", 200) // what is public may work without the database
	f.wantLogged(t, ended, 0)
	f.get(t, 3, "/v1/things", 200)
	f.wantLogged(t, ended+`,"failures":21`, 1)
	f.wantLogged(t, ended, 1)

	f.fail = errDown
	f.get(t, 2, "/v1/things", 503)
	f.wantLogged(t, began, 2)
}

func TestEachCauseOfAnOutageIsLogged(t *testing.T) {
	f := newOutageFixture(t)
	for _, err := range []error{errDown, context.DeadlineExceeded, errs.New(errs.Unavailable, errs.CodeUnavailable, "Soon.").Because(errors.New("keys away"))} {
		f.fail = err
		f.get(t, 3, "/v1/things", 503)
		f.wantLogged(t, err.Error(), 1)
	}
}

func TestReadinessIsLoggedWhenItChanges(t *testing.T) {
	f := newOutageFixture(t)
	const began, ended, access = `"msg":"not ready"`, `"msg":"available again"`, `"route":"/readyz","status"`
	f.down = errDown
	f.get(t, 5, "/readyz", 503)
	f.wantLogged(t, began, 1)
	f.pass(time.Minute)
	f.get(t, 1, "/v1/things", 200) // a standby can read
	f.wantLogged(t, ended, 0)
	f.down = nil
	f.get(t, 5, "/readyz", 200)
	f.wantLogged(t, ended, 1)
	f.wantLogged(t, access, 0)
}

func TestStartingIsLoggedOnceWhateverIsAsked(t *testing.T) {
	f := newOutageFixture(t)
	f.api.SetStarting("The database is being migrated.")
	f.get(t, 5, "/readyz", 503)
	f.get(t, 5, "/v1/things", 503)
	f.wantLogged(t, "The database is being migrated.", 1)
	f.wantLogged(t, "WARN", 0)
	f.wantLogged(t, `"route":"/readyz"`, 0)
	f.api.SetStarting("")
	f.get(t, 1, "/readyz", 200)
}

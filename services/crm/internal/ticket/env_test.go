package ticket

import (
	"testing"
	"time"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
)

// testEnv is the shared environment with the routes of tickets.
type testEnv struct {
	*crmtest.Env
	service *Service
}

func newTestEnv(t testing.TB) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.New(t, d.mount)
	return d
}

func newTestEnvWithLongTimeouts(t testing.TB) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.NewWithLongTimeouts(t, d.mount)
	return d
}

// newTestEnvWithLockTimeout makes a testEnv for tests that wait for the lock timeout.
func newTestEnvWithLockTimeout(t testing.TB, lock time.Duration) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.NewWithLockTimeout(t, lock, d.mount)
	return d
}

func (d *testEnv) mount(e *crmtest.Env, api *httpapi.API) {
	d.service = NewService(Config{Pool: e.Pool, Now: e.Now, Changed: func() {}, ReopenWithin: 14 * 24 * time.Hour})
	Register(api, d.service)
}

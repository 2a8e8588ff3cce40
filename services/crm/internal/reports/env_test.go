package reports

import (
	"testing"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with the routes of tickets and reports.
type testEnv struct {
	*crmtest.Env
	service *Service
}

func newTestEnv(t testing.TB) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.New(t, func(e *crmtest.Env, api *httpapi.API) {
		d.service = NewService(e.Pool, e.Now)
		ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}}))
		Register(api, d.service)
	})
	return d
}

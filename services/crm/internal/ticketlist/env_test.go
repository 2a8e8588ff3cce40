package ticketlist

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// testEnv is the shared environment with the routes of tickets and their lists.
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

func newTestEnvOn(t testing.TB, pool *pgxpool.Pool) *testEnv {
	t.Helper()
	d := &testEnv{}
	d.Env = crmtest.On(t, pool, d.mount)
	return d
}

func (d *testEnv) mount(e *crmtest.Env, api *httpapi.API) {
	d.service = NewService(e.Pool, nil, e.Now, e.Check)
	ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}}))
	Register(api, d.service)
}

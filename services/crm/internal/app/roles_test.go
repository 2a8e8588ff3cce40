package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/app"
)

func TestServingNeedsNoRightToChangeTheSchema(t *testing.T) {
	owner, serving := pgtest.NewRoles(t, db.ServingRole)
	address := freeAddress(t)
	t.Setenv("CRM_DATABASE_URL", serving)
	t.Setenv("CRM_DATABASE_POOL_SIZE", "4")
	t.Setenv("CRM_MIGRATE", "off")
	t.Setenv("CRM_REQUEST_TIMEOUT", "1m") // for a slow machine
	t.Setenv("CRM_ADDR", address)
	t.Setenv("CRM_OPS_ADDR", "off")
	t.Setenv("CRM_ADMIN_EMAIL", "boss@fixdesk.test")
	t.Setenv("CRM_ADMIN_PASSWORD", "canary in the coal mine")
	a := newApp(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	base := "http://" + address
	waitForStatus(t, base+"/healthz", http.StatusOK)
	if status, _ := statusOf(t, base+"/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("before the migrations: %d", status)
	}
	migrate(t, owner)
	waitForStatus(t, base+"/readyz", http.StatusOK)

	grant, _, err := a.Users().Login(t.Context(), "boss@fixdesk.test", "canary in the coal mine", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/tickets", "/v1/tickets/counts", "/v1/users", "/v1/audit", "/v1/outbox"} {
		if status := authorized(t, http.MethodGet, base+path, grant.AccessToken, ""); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	if status := authorized(t, http.MethodPost, base+"/v1/tickets", grant.AccessToken, `{"title":"Printer","description":"It is out of toner."}`); status != http.StatusCreated {
		t.Errorf("a ticket is answered %d", status)
	}
	rightsOfServing(t, serving)
}

// rightsOfServing checks what the serving role may do to the schema: nothing but what
// the partitions of the audit need.
func rightsOfServing(t *testing.T, serving string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), serving)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range []string{
		"select audit_partitions_prepare(now() + interval '6 months')", "select audit_partitions_drop(now() - interval '10 years')",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, statement := range []string{
		"create table more (n int)", "alter table tickets add column more int", "drop table tickets", "truncate tickets cascade",
		"create or replace function audit_partitions_drop(before timestamptz) returns integer language sql as 'select 1'",
		"alter table audit_events disable trigger all", "create schema more",
	} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestMigrationsNeedTheRightsOfTheOwner(t *testing.T) { // the control
	_, serving := pgtest.NewRoles(t, db.ServingRole)
	t.Setenv("CRM_DATABASE_URL", serving)
	t.Setenv("CRM_DATABASE_POOL_SIZE", "4")
	a := newApp(t)
	defer a.Close()
	var refused *pgconn.PgError
	if err := a.Migrate(t.Context()); !errors.As(err, &refused) || refused.Code != "42501" {
		t.Errorf("the serving role migrates: %v", err)
	}
}

func newApp(t *testing.T) *app.App {
	t.Helper()
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// migrate is the command migrate with the owner's role.
func migrate(t *testing.T, owner string) {
	t.Helper()
	t.Setenv("CRM_MIGRATE_DATABASE_URL", owner)
	a := newApp(t)
	defer a.Close()
	if err := a.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// authorized sends a request with a token and returns the status of its answer.
func authorized(t *testing.T, method, url, token, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

package app_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3/lock"

	"fixdesk/db"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/app"
)

func TestServiceIsAliveAndNotReadyWhileAnotherReplicaMigrates(t *testing.T) {
	url, address, ops := pgtest.NewURL(t, db.CRM, "crm/migrations"), freeAddress(t), freeAddress(t)
	t.Setenv("CRM_DATABASE_URL", url)
	t.Setenv("CRM_DATABASE_POOL_SIZE", "4")
	t.Setenv("CRM_ADDR", address)
	t.Setenv("CRM_OPS_ADDR", ops)
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	replica, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer replica.Close(context.Background())
	// Without a pending migration the service would not wait for the lock.
	if _, err := replica.Exec(t.Context(), "drop schema public cascade; create schema public"); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.Exec(t.Context(), "select pg_advisory_lock($1)", lock.DefaultLockID); err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
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
	for _, path := range []string{"/readyz", "/v1/tickets", "/v1/me"} {
		if status, retry := statusOf(t, base+path); status != http.StatusServiceUnavailable || retry == "" {
			t.Errorf("%s: %d, Retry-After %q", path, status, retry)
		}
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
		if status, _ := statusOf(t, "http://"+ops+path); status != want {
			t.Errorf("operations, %s: %d", path, status)
		}
	}
	if _, err := replica.Exec(t.Context(), "select pg_advisory_unlock($1)", lock.DefaultLockID); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, base+"/readyz", http.StatusOK)
	if status, _ := statusOf(t, base+"/v1/me"); status != http.StatusUnauthorized {
		t.Errorf("control: afterwards /v1/me: %d", status)
	}
}

func TestServiceIsReadyWhenItsPoolIsFilledWithWarmConnections(t *testing.T) {
	url := pgtest.NewURL(t, db.CRM, "crm/migrations")
	t.Setenv("CRM_DATABASE_POOL_SIZE", "3")
	runApp(t, url)
	watcher, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close(context.Background())
	var connections int
	err = watcher.QueryRow(t.Context(), `select count(*) from pg_stat_activity
		where datname = current_database() and application_name = 'fixdesk-crm' and pid <> pg_backend_pid()`).Scan(&connections)
	if err != nil || connections < 3 {
		t.Errorf("ready with %d connections: %v", connections, err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// statusOf returns 0 while nothing answers.
func statusOf(t testing.TB, url string) (status int, retryAfter string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After")
}

func waitForStatus(t testing.TB, url string, want int) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		status, _ := statusOf(t, url)
		if status == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d", url, status, want)
		}
	}
}

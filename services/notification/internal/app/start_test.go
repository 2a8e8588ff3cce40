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

	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/launch"
	"fixdesk/pkg/obs"
	"fixdesk/services/notification/internal/app"
)

func TestNotificationServiceIsAliveAndNotReadyWhileAnotherReplicaMigrates(t *testing.T) {
	t.Parallel()
	c := testConfig(newDatabase(t), "http://127.0.0.1:1", "127.0.0.1:1")
	c.Addr, c.OpsAddr = freeAddress(t), config.OptionalAddr(freeAddress(t))
	replica, err := pgx.Connect(t.Context(), c.DatabaseURL.Reveal())
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
	base := "http://" + c.Addr
	waitForStatus(t, base+"/healthz", http.StatusOK)
	for _, path := range []string{"/readyz", "/v1/stats"} {
		if status := statusOf(base + path); status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d", path, status)
		}
	}
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable, "/metrics": http.StatusOK} {
		if status := statusOf("http://" + string(c.OpsAddr) + path); status != want {
			t.Errorf("operations, %s: %d", path, status)
		}
	}
	if _, err := replica.Exec(t.Context(), "select pg_advisory_unlock($1)", lock.DefaultLockID); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, base+"/readyz", http.StatusOK)
	if status := statusOf(base + "/v1/stats"); status != http.StatusUnauthorized {
		t.Errorf("control: afterwards /v1/stats: %d", status)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// statusOf returns 0 while nothing answers.
func statusOf(url string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Get(url)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

func waitForStatus(t *testing.T, url string, want int) {
	t.Helper()
	for deadline := time.Now().Add(4 * time.Minute); ; pause() {
		status := statusOf(url)
		if status == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d, want %d", url, status, want)
		}
	}
}

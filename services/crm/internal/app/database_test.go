package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/app"
)

// runApp runs the service on a database until the test ends or stop is called.
func runApp(t *testing.T, databaseURL string) (url, ops string, stop func() (time.Duration, error)) {
	t.Helper()
	address, opsAddress := freeAddress(t), freeAddress(t)
	t.Setenv("CRM_OPS_ADDR", opsAddress)
	t.Setenv("CRM_DATABASE_URL", databaseURL)
	t.Setenv("CRM_ADDR", address)
	t.Setenv("CRM_NOTIFICATION_URL", "http://127.0.0.1:1")
	t.Setenv("CRM_SHUTDOWN_TIMEOUT", "4s")
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() (time.Duration, error) {
		stopped = true
		began := time.Now()
		cancel()
		err := <-ended
		return time.Since(began), err
	}
	t.Cleanup(func() {
		if !stopped {
			_, _ = stop()
		}
	})
	url = "http://" + address
	waitForStatus(t, url+"/readyz", http.StatusOK)
	return url, "http://" + opsAddress, stop
}

// register is a request that writes.
func register(t *testing.T, url, name string) (status int, body string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Post(url+"/v1/auth/register", "application/json", strings.NewReader(
		fmt.Sprintf(`{"name":"Joe","email":"%s@example.com","password":"a lamp in the hallway"}`, name)))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(text)
}

func waitForMetric(t *testing.T, ops, line string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		res, err := client.Get(ops + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\n"+line) {
			return
		}
	}
	t.Fatalf("no metric %q", line)
}

func TestReadOnlyDatabaseIsAnswered503AndNotReadyUntilWritable(t *testing.T) {
	databaseURL := pgtest.NewURL(t, db.CRM, "crm/migrations")
	url, _, _ := runApp(t, databaseURL)
	if status, body := register(t, url, "before"); status != http.StatusCreated {
		t.Fatalf("control: %d %s", status, body)
	}
	operator, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close(context.Background())
	name := pgx.Identifier{operator.Config().Database}.Sanitize()
	for _, sql := range []string{
		"alter database " + name + " set default_transaction_read_only = on",
		"select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
	} {
		if _, err := operator.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	waitForStatus(t, url+"/readyz", http.StatusServiceUnavailable)
	for n := range 5 {
		if status, body := register(t, url, fmt.Sprint("while", n)); status != http.StatusServiceUnavailable {
			t.Errorf("a write is answered %d %s", status, body)
		}
	}
	if status, _ := statusOf(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if _, err := operator.Exec(t.Context(), "alter database "+name+" reset default_transaction_read_only"); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, url+"/readyz", http.StatusOK)
	// A session that was opened meanwhile stays read-only; each is dropped when it
	// refuses a write.
	status, body := register(t, url, "after")
	for deadline := time.Now().Add(4 * time.Minute); status == http.StatusServiceUnavailable && time.Now().Before(deadline); {
		status, body = register(t, url, "after")
	}
	if status != http.StatusCreated {
		t.Errorf("afterwards a write is answered %d %s", status, body)
	}
}

func TestStopWithAFrozenDatabaseAnswersRequestsUnderWayInTime(t *testing.T) {
	proxied, freeze := pgtest.Freezable(t, pgtest.NewURL(t, db.CRM, "crm/migrations"))
	url, ops, stop := runApp(t, proxied)
	if status, body := register(t, url, "before"); status != http.StatusCreated {
		t.Fatalf("control: %d %s", status, body)
	}
	freeze()
	waitForStatus(t, url+"/readyz", http.StatusServiceUnavailable)
	answered := make(chan int, 1)
	go func() {
		status, _ := register(t, url, "frozen")
		answered <- status
	}()
	waitForMetric(t, ops, "http_requests_in_progress 1\n")
	took, err := stop()
	if err != nil || took > 20*time.Second { // generous for a busy machine; without deadlines it would not end
		t.Errorf("the stop took %s of 4s: %v", took, err)
	}
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Errorf("the request in flight is answered %d", status)
	}
}

package pg_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/pg"
)

// startServer starts a server whose transactions are read-only or not, and returns the
// folder of its socket.
func startServer(t *testing.T, dir, readOnly string) (socket string) {
	t.Helper()
	server, err := pgserver.Start(t.Context(), pgserver.Options{
		Dir: filepath.Join(dir, readOnly), Test: true, Settings: map[string]string{"default_transaction_read_only": readOnly},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	config, err := pgx.ParseConfig(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return config.Host
}

func TestOfSeveralHostsTheOneThatTakesWritesIsUsed(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "pg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	standby, primary := startServer(t, dir, "on"), startServer(t, dir, "off")
	readOnly := func(open func(string) (*pgxpool.Pool, error), hosts ...string) (setting string) {
		t.Helper()
		query := url.Values{"host": {strings.Join(hosts, ",")}, "port": {strings.TrimSuffix(strings.Repeat("5432,", len(hosts)), ",")}, "user": {"postgres"}}
		pool, err := open("postgres:///postgres?" + query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if err := pool.QueryRow(t.Context(), "show transaction_read_only").Scan(&setting); err != nil {
			t.Fatal(err)
		}
		return setting
	}
	ours := func(url string) (*pgxpool.Pool, error) { return pg.Open(t.Context(), url, pg.Config{}) }
	if got := readOnly(ours, standby, primary); got != "off" {
		t.Errorf("the first of two hosts is a standby: transaction_read_only is %s", got)
	}
	if got := readOnly(ours, standby); got != "on" {
		t.Errorf("control: a single host: transaction_read_only is %s", got)
	}
	plain := func(url string) (*pgxpool.Pool, error) { return pgxpool.New(t.Context(), url) }
	if got := readOnly(plain, standby, primary); got != "on" {
		t.Errorf("control: without our rule the first host is used: transaction_read_only is %s", got)
	}
}

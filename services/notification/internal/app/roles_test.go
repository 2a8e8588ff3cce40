package app_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/db"
	"fixdesk/pkg/config"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/obs"
	"fixdesk/services/notification/internal/app"
)

func TestServingNotificationsNeedsNoRightToChangeTheSchema(t *testing.T) {
	t.Parallel()
	owner, serving := pgtest.NewRoles(t, db.ServingRole)
	issuer := newIssuer(t)
	c := testConfig(serving, issuer.url, "127.0.0.1:1")
	c.Addr, c.Migrate = freeAddress(t), config.Off
	log := obs.NewLogger(io.Discard, slog.LevelError, obs.JSON)
	a, err := app.New(t.Context(), c, log)
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
	if status := statusOf(base + "/readyz"); status != http.StatusServiceUnavailable {
		t.Fatalf("before the migrations: %d", status)
	}

	c.MigrateDatabaseURL = config.NewSecret(owner)
	command, err := app.New(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	defer command.Close()
	if err := command.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitForStatus(t, base+"/readyz", http.StatusOK)
	if _, err := issuer.client(t, base).Create(t.Context(), "key", newMail("a@fixdesk.test")); err != nil {
		t.Errorf("a notification: %v", err)
	}

	conn, err := pgx.Connect(t.Context(), serving)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range []string{
		"select attempts_partitions_make(now() + interval '6 months'), inbound_partitions_make(now() + interval '6 months')",
		"select attempts_partitions_drop(now() - interval '10 years', now()), inbound_partitions_drop(now() - interval '10 years', now())",
	} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
	for _, statement := range []string{
		"create table more (n int)", "alter table recipients add column more int", "drop table recipients", "drop table attempts_first",
		"select partitions_make('attempts', 'recipient_id', now() + interval '9 months')",
		"select partitions_drop('attempts', 'suppressions', now() + interval '9 months', now())",
	} {
		var refused *pgconn.PgError
		if _, err := conn.Exec(t.Context(), statement); !errors.As(err, &refused) || refused.Code != "42501" {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

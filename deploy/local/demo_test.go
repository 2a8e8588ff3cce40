package main

import (
	"errors"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/deploy/local/internal/demo"
	"fixdesk/pkg/dev/trials"
)

func TestDemonstrationFillsAnEmptyFixdeskWithAMonth(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	r := started(t, stateFolder(t))
	database := regexp.MustCompile(`psql '(postgres://[^']*/crm[^']*)'`).FindStringSubmatch(r.output.String())
	if database == nil {
		t.Fatalf("no database in:\n%s", r.output)
	}
	a := r.admin(t)
	config := demo.Config{URL: r.crm, DatabaseURL: database[1], AdminEmail: a.email, AdminPassword: a.password, Password: "seven small lamps", Tickets: 40}
	if err := demo.Fill(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	r.login(t, demo.Customer, config.Password)
	conn, err := pgx.Connect(t.Context(), database[1])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var tickets, closed, comments, wrong int
	var first time.Time
	err = conn.QueryRow(t.Context(), `select count(*), count(*) filter (where status = 'closed'), min(created_at),
			(select count(*) from ticket_comments), (select count(*) from tickets t where created_at > updated_at or updated_at > now()
				or exists (select from ticket_events e where e.ticket_id = t.id and (e.created_at < t.created_at or e.created_at > t.updated_at))
				or exists (select from ticket_comments c where c.ticket_id = t.id and c.created_at not in (select created_at from ticket_events e where e.ticket_id = t.id)))
		from tickets`).Scan(&tickets, &closed, &first, &comments, &wrong)
	if err != nil {
		t.Fatal(err)
	}
	if tickets != 40 || closed < 5 || comments < 40 || wrong > 0 || time.Since(first) < 29*24*time.Hour {
		t.Errorf("%d tickets, %d closed, %d comments, %d with wrong times, the first from %s", tickets, closed, comments, wrong, first)
	}
	if err := demo.Fill(t.Context(), config); !errors.Is(err, demo.ErrNotEmpty) {
		t.Errorf("a second time: %v", err)
	}
	r.stop(t, syscall.SIGTERM)
}

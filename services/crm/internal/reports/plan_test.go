package reports

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

// TestReportOfAYearReadsStoredDaysAndFewEvents is about 24,000 events of 370 days.
func TestReportOfAYearReadsStoredDaysAndFewEvents(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	d := newTestEnv(t)
	to := d.Now()
	const tickets, days = 12_000, 370
	customer, engineer := d.User("customer"), d.Engineer()
	// Triggers would take most of the time.
	d.Exec(fmt.Sprintf(`set session_replication_role = replica;
		insert into tickets (id, title, description, status, reporter_id, assignee_id, created_at, updated_at)
			select gen_random_uuid(), 'Printer', 'It smokes', 'open', '%s', '%s', at, at
			from (select now() - %d * interval '1 day' * (%d - n) / %[4]d as at from generate_series(1, %[4]d) n) t;
		insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at)
			select gen_random_uuid(), t.id, e.kind, case e.kind when 'created' then t.reporter_id else t.assignee_id end, '{}', t.created_at + e.later
			from tickets t, (values ('created', interval '0'), ('accepted', interval '1 minute')) e (kind, later) order by t.created_at;
		reset session_replication_role`, customer.ID, engineer.ID, days, tickets))
	d.Exec(`vacuum analyze`)
	d.storeDaysAtOnce(to.AddDate(0, 0, -days), startOfDay(to))
	d.Exec(`vacuum analyze ticket_report_days`)
	if stored := crmtest.Get[int](d.Env, `select count(distinct day) from ticket_report_days`); stored < days-2 {
		t.Fatalf("%d days are stored", stored)
	}

	report := func() (most int, plan string) {
		for _, p := range pgtest.PlansOf(t, d.Pool, func(pool *pgxpool.Pool) {
			r, err := NewService(pool, d.Now).Report(context.Background(), to.AddDate(-1, 0, 0), to)
			if err != nil || r.Total.Created < tickets*9/10 || r.Total.Accepted < tickets*9/10 {
				t.Errorf("%+v %v", r.Total, err)
			}
		}) {
			if n := pgtest.MostRead(p); n > most {
				most, plan = n, strings.Join(p, "\n")
			}
		}
		return most, plan
	}
	if most, plan := report(); most == 0 || most > tickets/2 {
		t.Errorf("%d rows are read:\n%s", most, plan)
	}
	// The control: without its stored days, the report reads the events of a year.
	d.Exec(`delete from ticket_report_days`)
	if most, _ := report(); most < tickets {
		t.Errorf("%d rows are read without stored days: the test can't fail", most)
	}
}

// storeDaysAtOnce stores the figures of all days of a period as the loop does, with the
// events read once.
func (d *testEnv) storeDaysAtOnce(since, until time.Time) {
	d.Helper()
	q := crmdb.New(d.Pool)
	rows, err := q.ReportFigures(context.Background(), crmdb.ReportFiguresParams{Since: startOfDay(since), Until: until})
	if err != nil {
		d.Fatal(err)
	}
	days := map[string][]row{}
	for _, r := range rows {
		days[r.Day] = append(days[r.Day], r)
	}
	for day, rows := range days {
		if err := q.ReportDayStore(context.Background(), columns(day, rows)); err != nil {
			d.Fatal(err)
		}
	}
}

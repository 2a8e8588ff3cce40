package outbox

import (
	"math"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func passwordReset() notice.PasswordReset {
	return notice.PasswordReset{To: notice.Person{Name: "Ada", Email: "ada@example.com"}, Token: "canary-reset", ValidMinutes: 10}
}

func (o *testEnv) add(n notice.Notice) uuid.UUID {
	o.Helper()
	reference := uuid.New()
	if err := Add(o.Context(), o.q, noon, reference, n); err != nil {
		o.Fatal(err)
	}
	return reference
}

func TestFactsWithATokenArePostedAsSensitiveAndErasedWhenPosted(t *testing.T) {
	o := newTestEnv(t)
	person := notice.Person{Name: "Ada", Email: "ada@example.com"}
	for _, n := range []notice.Notice{
		passwordReset(),
		notice.EmailVerification{To: person, Token: "canary-reset", ValidHours: 24},
		notice.Invitation{To: person, Role: "engineer", Token: "canary-reset", ValidDays: 7},
	} {
		o.add(n)
	}
	o.write(1) // the control
	o.want("data::text like '%canary-reset%'", 3)
	o.once()
	o.want("done_at is not null", 4)
	o.want("outbox::text like '%canary-reset%'", 0)
	o.want("data = '{}'", 3)
	o.want("data::text like '%canary-body%'", 1)
	sensitive := 0
	for _, p := range o.service.seen() {
		hasToken := strings.Contains(string(p.body), "canary-reset")
		if p.request.Sensitive != hasToken {
			t.Errorf("sensitive is %v with token %v", p.request.Sensitive, hasToken)
		}
		if hasToken != (p.request.Priority == notifyapi.PriorityUrgent) {
			t.Errorf("priority is %q with token %v", p.request.Priority, hasToken)
		}
		if hasToken {
			sensitive++
		}
	}
	if sensitive != 3 {
		t.Errorf("%d posts carried a token", sensitive)
	}
}

func TestOutboxKeepsPostedEntriesAWeekAndDeadOnes90Days(t *testing.T) {
	o := newTestEnv(t)
	posted := map[string]uuid.UUID{"8 days": o.write(1), "6 days": o.write(1)}
	dead := map[string]uuid.UUID{"91 days": o.write(1), "80 days": o.write(1)}
	sensitive := map[string]uuid.UUID{"8 days": o.add(passwordReset()), "6 days": o.add(passwordReset())}
	pending := o.write(2)
	for age, reference := range posted {
		o.exec("update outbox set done_at = now() - $2::text::interval where reference = $1", reference, age)
	}
	for _, references := range []map[string]uuid.UUID{dead, sensitive} {
		for age, reference := range references {
			o.exec("update outbox set dead_at = now() - $2::text::interval where reference = $1", reference, age)
		}
	}
	o.exec("update outbox set created_at = now() - interval '1 year', next_attempt_at = now() - interval '1 year' where reference = $1", pending)
	if err := o.dispatcher.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		reference uuid.UUID
		want      int
	}{
		"posted 8 days ago": {posted["8 days"], 0}, "posted 6 days ago": {posted["6 days"], 1},
		"dead for 91 days": {dead["91 days"], 0}, "dead for 80 days": {dead["80 days"], 1},
		"dead for 8 days, with a token": {sensitive["8 days"], 0}, "dead for 6 days, with a token": {sensitive["6 days"], 1},
		"pending for a year": {pending, 2},
	} {
		if n := row[int](o, "select count(*) from outbox where reference = $1", tc.reference); n != tc.want {
			t.Errorf("%s: %d entries, want %d", name, n, tc.want)
		}
	}
}

func TestOutboxPurgeThatDoesNotFitTheStatementTimeoutMakesProgress(t *testing.T) {
	o := newTestEnv(t)
	o.write(30)
	o.exec("update outbox set done_at = now() - interval '8 days'")
	// Simulates a slow disk: a statement that deletes more than eight entries
	// fails like one that the statement timeout ends.
	o.exec(`create function timeout() returns trigger language plpgsql as $$ begin
			if (select count(*) from gone) > 8 then raise exception using errcode = 'query_canceled'; end if;
			return null;
		end $$`)
	o.exec(`create trigger timeout after delete on outbox referencing old table as gone for each statement execute function timeout()`)
	// The control: the whole batch in one statement never succeeds.
	if _, err := o.q.OutboxPurgeDone(t.Context(), crmdb.OutboxPurgeDoneParams{Batch: purgeBatch}); err == nil {
		t.Fatal("30 deletions fit in one statement")
	}
	if err := o.dispatcher.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.want("true", 0)
}

func TestOutboxGaugesCountPendingAndDeadAndAreNaNWithoutTheDatabase(t *testing.T) {
	o := newTestEnv(t)
	values := func() (pending, dead, oldest float64) {
		m := o.dispatcher.metrics
		return gauge(t, m.pending), gauge(t, m.dead), gauge(t, m.oldest)
	}
	unknown := func() bool {
		p, d, a := values()
		return math.IsNaN(p) && math.IsNaN(d) && math.IsNaN(a)
	}
	if !unknown() {
		t.Error("known before the first read")
	}
	o.write(5)
	o.once()
	o.write(2)
	o.exec("update outbox set created_at = now() - interval '1 minute' where done_at is null")
	dead := o.write(1)
	o.exec("update outbox set dead_at = now() where reference = $1", dead)
	if err := o.dispatcher.readGauges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, d, a := values(); p != 2 || d != 1 || a < 59 || a > 1000 {
		t.Errorf("pending %v, dead %v, oldest %v s", p, d, a) // the control
	}
	o.pool.Close()
	if err := o.dispatcher.readGauges(t.Context()); err == nil || !unknown() {
		t.Errorf("known without the database: %v", err)
	}
}

func TestOutboxStatisticsAndListsReadNoPostedEntries(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	o.exec(`insert into outbox (id, kind, reference, data, created_at, done_at)
		select gen_random_uuid(), 'ticket_commented', gen_random_uuid(), '{}', now(), now() from generate_series(1, 20000)`)
	// No analyze: the planner believes that the table is empty.
	explain := func(sql string, args ...any) string {
		t.Helper()
		var lines []string
		err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "set local enable_seqscan = off"); err != nil {
				return err
			}
			rows, err := tx.Query(t.Context(), "explain "+sql, args...)
			if err != nil {
				return err
			}
			lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	r := &recorder{DBTX: o.pool}
	if _, err := crmdb.New(r).OutboxStatistics(t.Context(), gaugeMax); err != nil {
		t.Fatal(err)
	}
	plan := explain(r.sql, r.args...)
	for _, index := range []string{"outbox_pending", "outbox_dead"} {
		if !strings.Contains(plan, index) {
			t.Errorf("the gauges don't use %s:\n%s", index, plan)
		}
	}
	if strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "outbox_pkey") || strings.Contains(plan, "JIT") {
		t.Errorf("the gauges read posted entries:\n%s", plan)
	}
	o.exec("vacuum analyze outbox")
	for name, list := range map[string]func(*crmdb.Queries) error{
		"outbox_pending": func(q *crmdb.Queries) error {
			_, err := q.OutboxListPending(t.Context(), crmdb.OutboxListPendingParams{Page: 20})
			return err
		},
		"outbox_dead_by_id": func(q *crmdb.Queries) error {
			_, err := q.OutboxListDead(t.Context(), crmdb.OutboxListDeadParams{Page: 20})
			return err
		},
	} {
		if err := list(crmdb.New(r)); err != nil {
			t.Fatal(err)
		}
		if plan := explain(r.sql, r.args...); !strings.Contains(plan, name) {
			t.Errorf("the list doesn't use %s:\n%s", name, plan)
		}
	}
	// The control: a count of everything reads posted entries.
	if plan := explain("select count(*) from outbox"); strings.Contains(plan, "outbox_pending") {
		t.Errorf("the control reads none:\n%s", plan)
	}
}

package delivery

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/notificationdb"
)

// limitedPool is another pool on the loop's database.
func limitedPool(t *testing.T, l *Loop, statementTimeout time.Duration) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(t.Context(), l.DB.Config().ConnString(), pg.Config{AcquireTimeout: time.Minute, StatementTimeout: statementTimeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func newTestGauges(l *Loop, c *clock) *gauges {
	return newGauges(GaugeConfig{DB: l.DB, Now: c.Now, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()})
}

func (g *gauges) values() map[notifyapi.RecipientStatus]float64 {
	values := map[notifyapi.RecipientStatus]float64{}
	for _, s := range notifyapi.RecipientStatuses {
		values[s] = testutil.ToFloat64(g.recipients.WithLabelValues(string(s)))
	}
	return values
}

// recounted counts the recipients one by one.
func recounted(t *testing.T, l *Loop) map[notifyapi.RecipientStatus]float64 {
	t.Helper()
	counts := map[notifyapi.RecipientStatus]float64{}
	for _, s := range notifyapi.RecipientStatuses {
		counts[s] = 0
	}
	rows, err := l.DB.Query(t.Context(), `select case when lease_token is null then status::text else 'sending' end, count(*)::float8
		from recipients group by 1`)
	if err != nil {
		t.Fatal(err)
	}
	var status string
	var n float64
	if _, err := pgx.ForEachRow(rows, []any{&status, &n}, func() error {
		counts[notifyapi.RecipientStatus(status)] = n
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestQueueGaugesEqualARecountAfterEveryChange(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	g := newTestGauges(l, c)
	check := func(step string) {
		t.Helper()
		if _, err := g.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, want := g.values(), recounted(t, l)
		for _, s := range notifyapi.RecipientStatuses {
			if got[s] != want[s] {
				t.Errorf("%s: %s is %v, recounted %v", step, s, got[s], want[s])
			}
		}
	}
	old := seed(t, l.DB, c.now.Add(-100*day), c.now.Add(-100*day), 10)
	later := seed(t, l.DB, c.now, c.now.Add(time.Hour), 5)
	check("stored")
	tasks := mustClaim(t, l, 8, 8)
	check("claimed")
	for i, o := range []notifyapi.Outcome{notifyapi.OutcomeSent, notifyapi.OutcomePermanent, notifyapi.OutcomeTemporary, notifyapi.OutcomeUncertain} {
		if _, err := l.store.settle(t.Context(), l.Policy, result(tasks[i:i+1], o, 0, c.now)); err != nil {
			t.Fatal(err)
		}
		check("settled " + string(o))
	}
	if err := l.store.release(t.Context(), c.now, result(tasks[4:6], "", 0, c.now)); err != nil {
		t.Fatal(err)
	}
	check("released")
	q := notificationdb.New(l.DB)
	if _, err := q.NotificationCancel(t.Context(), notificationdb.NotificationCancelParams{NotificationID: later, Now: c.now}); err != nil {
		t.Fatal(err)
	}
	check("canceled")
	if _, err := q.NotificationRetry(t.Context(), notificationdb.NotificationRetryParams{NotificationID: old, Now: c.now, Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep)}); err != nil {
		t.Fatal(err)
	}
	check("retried")
	if _, err := l.DB.Exec(t.Context(), "delete from notifications where id = $1", later); err != nil {
		t.Fatal(err)
	}
	check("deleted")
	if _, err := q.StatsFold(t.Context(), foldBatch); err != nil {
		t.Fatal(err)
	}
	check("folded")
	if n := text(t, l.DB, "select count(*)::text from recipient_counts"); n > "7" {
		t.Errorf("%s rows after folding", n)
	}
}

func TestCountedChangesAreFoldedBeforeTheyAreMany(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 3)
	if _, err := l.DB.Exec(t.Context(), "insert into recipient_counts select 'sent', 1 from generate_series(1, 25000)"); err != nil {
		t.Fatal(err)
	}
	g := newTestGauges(l, c)
	for range 2 {
		if _, err := g.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := g.values(); v[notifyapi.RecipientSent] != 25000 || v[notifyapi.RecipientQueued] != 3 {
			t.Errorf("%v", v)
		}
	}
	if n := text(t, l.DB, "select (count(*) < 20)::text from recipient_counts"); n != "true" {
		t.Error("the changes were not folded")
	}
}

func TestOldestDueIsTheEarliestOfQueuedAndDelayedRecipients(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	g := newTestGauges(l, c)
	age := func() float64 {
		t.Helper()
		if _, err := g.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		return testutil.ToFloat64(g.oldest)
	}
	if a := age(); a != 0 {
		t.Errorf("%v s in an empty queue", a)
	}
	seed(t, l.DB, c.now, c.now.Add(time.Hour), 1)
	if a := age(); a != 0 {
		t.Errorf("%v s before anything is due", a)
	}
	seed(t, l.DB, c.now, c.now.Add(-time.Minute), 1)
	if a := age(); a != 60 {
		t.Errorf("%v s, want 60", a)
	}
	c.now = c.now.Add(3 * time.Hour)
	mustClaim(t, l, 1, 1)
	if a := age(); a != 2*3600 {
		t.Errorf("%v s, want two hours of what was not promoted", a)
	}
}

func TestQueueGaugesAreNaNWhileTheDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 3)
	g := newTestGauges(l, c)
	known := func() int {
		n := 0
		for _, v := range append(slices.Collect(mapValues(g.values())), testutil.ToFloat64(g.oldest)) {
			if !math.IsNaN(v) {
				n++
			}
		}
		return n
	}
	if n := known(); n != 0 {
		t.Errorf("%d are known before the first read", n)
	}
	if _, err := g.read(t.Context()); err != nil || known() != len(notifyapi.RecipientStatuses)+1 {
		t.Errorf("%d are known, %v", known(), err) // the control
	}
	down := limitedPool(t, l, time.Second)
	down.Close()
	g.db = down
	if _, err := g.read(t.Context()); err == nil || known() != 0 {
		t.Errorf("%d are known without the database, %v", known(), err)
	}
	g.db = l.DB
	if _, err := g.read(t.Context()); err != nil || known() == 0 {
		t.Errorf("unknown after the database came back, %v", err)
	}
}

func mapValues(m map[notifyapi.RecipientStatus]float64) func(func(float64) bool) {
	return func(yield func(float64) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// recorder keeps the last statement that went through it.
type recorder struct {
	notificationdb.DBTX
	sql  string
	args []any
}

func (r *recorder) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	r.sql, r.args = sql, args
	return r.DBTX.Query(ctx, sql, args...)
}

func (r *recorder) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r.sql, r.args = sql, args
	return r.DBTX.QueryRow(ctx, sql, args...)
}

func (r *recorder) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	r.sql, r.args = sql, args
	return r.DBTX.Exec(ctx, sql, args...)
}

// plan explains the query that do makes.
func plan(t *testing.T, l *Loop, byIndex bool, do func(*notificationdb.Queries) error) string {
	t.Helper()
	var lines []string
	err := pgx.BeginFunc(t.Context(), l.DB, func(tx pgx.Tx) error {
		if byIndex {
			if err := notificationdb.New(tx).DeliveryPlanByIndex(t.Context()); err != nil {
				return err
			}
		}
		r := &recorder{DBTX: tx}
		if err := do(notificationdb.New(r)); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "explain "+r.sql, r.args...)
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

func TestQueueStatisticsReadNothingThatGrowsWithFinishedRecipients(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	l, c := newLoop(t)
	ctx := t.Context()
	for range 10 {
		seedEnded(t, l, c.now, c.now, 1000)
	}
	for _, sql := range []string{
		"insert into attempts select id, 1, now() - interval '10 days' + ordinal * interval '10 minutes', 'mx', 250, 'ok', 'sent' from recipients order by ordinal",
		`insert into notifications (id, caller, idempotency_key, body_hash, subject, text, bytes, requester, request_id, message_domain, recipient_count, created_at)
			select gen_random_uuid(), 'test', 'many' || i, decode(repeat('00', 32), 'hex'), 's', 't', 1, 'r', '', 'd', 1, now() from generate_series(1, 10000) i`,
		"update notifications set sensitive = true, text = case when random() < 0.99 then '' else 't' end",
		"vacuum analyze recipients", "vacuum analyze attempts", "vacuum analyze notifications",
	} {
		if _, err := l.DB.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	counts := plan(t, l, false, func(q *notificationdb.Queries) error { _, err := q.StatsCounts(ctx); return err })
	if strings.Contains(counts, " recipients ") || strings.Contains(counts, "attempts") {
		t.Errorf("counts:\n%s", counts)
	}
	for name, tc := range map[string]struct {
		byIndex bool
		do      func(*notificationdb.Queries) error
		want    []string
	}{
		"oldest due": {true, func(q *notificationdb.Queries) error {
			_, err := q.StatsOldestDue(ctx, notificationdb.StatsOldestDueParams{NormalFrom: normalFrom(c.now), BulkFrom: bulkFrom(c.now), Now: c.now})
			return err
		}, []string{"recipients_queue", "recipients_waiting"}},
		"expire": {true, func(q *notificationdb.Queries) error {
			_, err := q.DeliveryExpire(ctx, notificationdb.DeliveryExpireParams{Now: c.now, Max: queueBatch})
			return err
		}, []string{"recipients_expiry"}},
		"sent a minute": {false, func(q *notificationdb.Queries) error { _, err := q.StatsSentSince(ctx, c.now); return err },
			[]string{"attempts_first_at"}},
		"purge": {true, func(q *notificationdb.Queries) error {
			_, err := q.RetentionPurge(ctx, notificationdb.RetentionPurgeParams{BeforeID: FirstID(c.now), EndedBefore: c.now, Max: purgeBatch})
			return err
		}, []string{"notifications_pkey", "recipients_ordinal"}},
		"erase": {true, func(q *notificationdb.Queries) error {
			_, err := q.RetentionErase(ctx, notificationdb.RetentionEraseParams{Max: eraseBatch})
			return err
		}, []string{"notifications_to_erase"}},
	} {
		p := plan(t, l, tc.byIndex, tc.do)
		for _, index := range tc.want {
			if !strings.Contains(p, index) {
				t.Errorf("%s doesn't use %s:\n%s", name, index, p)
			}
		}
		if strings.Contains(p, "JIT:") { // it costs more than the query
			t.Errorf("%s is compiled:\n%s", name, p)
		}
		// The partitions of the months to come are empty.
		if strings.Contains(p, "Seq Scan on recipients") || strings.Contains(p, "Seq Scan on attempts_first") || strings.Contains(p, "Seq Scan on notifications") {
			t.Errorf("%s reads a whole table:\n%s", name, p)
		}
	}
	// The control: a count of the recipients themselves reads all of them.
	control := plan(t, l, false, func(q *notificationdb.Queries) error {
		_, err := q.NotificationList(ctx, notificationdb.NotificationListParams{BeforeID: uuid.Max, CreatedBefore: c.now.Add(time.Hour), Max: 1000})
		return err
	})
	if !strings.Contains(control, " recipients") {
		t.Errorf("the control reads no recipients:\n%s", control)
	}
}

package delivery

import (
	"context"
	"log/slog"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// clock is the injected time of day.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// newLoop makes a loop that does not run, with a fixed clock.
func newLoop(t testing.TB) (*Loop, *clock) {
	t.Helper()
	l := newLoopTo(t, (&smtptest.Server{}).Start(t, ""), nil)
	c := &clock{time.Now().UTC().Truncate(time.Microsecond)}
	l.Now = c.Now
	return l, c
}

// newLoopTo makes a loop that mails to the server, with changed settings.
func newLoopTo(t testing.TB, srv *smtptest.Server, change func(*email.Config)) *Loop {
	t.Helper()
	host, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	config := email.Config{
		Sender:  email.Sender{From: mail.Address{Address: "fixdesk@example.com"}},
		Servers: []email.Server{{Host: host, Port: n, TLS: email.TLSNone}}, HELO: "example.com",
		Timeouts: email.Timeouts{
			Connect: time.Minute, Greeting: time.Minute, Mail: time.Minute, Rcpt: time.Minute, Data: time.Minute, Block: time.Minute, Dot: time.Minute,
		},
		StopTimeout: time.Second, MessagesPerConnection: 100, IdleTime: time.Second,
		CircuitBase: time.Millisecond, CircuitCap: time.Millisecond, PaceStep: time.Second, Now: time.Now,
	}
	if change != nil {
		change(&config)
	}
	mailer := email.NewPool(config)
	t.Cleanup(mailer.Close)
	return NewLoop(Config{
		DB: pgtest.New(t, db.Notification, "notification/migrations"), Mailer: mailer, Policy: policy, Workers: 2,
		Lease: time.Minute, StopTimeout: 5 * time.Second, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(),
	})
}

// seed stores a notification with n recipients that are due at the given time;
// they are queued if that has passed.
func seed(t testing.TB, db *pgxpool.Pool, now, due time.Time, n int) uuid.UUID {
	t.Helper()
	id := FirstID(now)
	copy(id[8:], uuidTail())
	ctx := context.Background()
	_, err := db.Exec(ctx, `insert into notifications (id, caller, idempotency_key, body_hash, subject, text, bytes, requester,
		request_id, message_domain, recipient_count, created_at)
		values ($1, 'test', $2, decode(repeat('00', 32), 'hex'), 's', 't', 2, 'r', '', 'example.com', $3, $4)`, id, id.String(), n, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(ctx, `insert into recipients (id, notification_id, ordinal, email, enqueued_at, next_attempt_at, queue_at)
		select (left($1::text, 18) || right(gen_random_uuid()::text, 18))::uuid, $1::uuid, i, 'user' || i || '@example.org', $3::timestamptz, $3, case when $3 <= $4::timestamptz then $3 + i / 20 * interval '2 s' + i * interval '1 us' end
		from generate_series(0, $2::int - 1) i`, id, n, due, now)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func uuidTail() []byte {
	id := uuid.New()
	return id[8:]
}

func text(t testing.TB, db *pgxpool.Pool, sql string, args ...any) string {
	t.Helper()
	rows, err := db.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	value, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func result(tasks []*task, v notifyapi.Outcome, code int, at time.Time) []settlement {
	var batch []settlement
	for _, t := range tasks {
		batch = append(batch, settlement{task: t, at: at, result: email.Result{Outcome: v, Server: "mx:25", Code: code, Reply: "said so"}})
	}
	return batch
}

func mustClaim(t testing.TB, l *Loop, n, want int) []*task {
	t.Helper()
	taken, err := l.store.claim(t.Context(), n, l.Now(), wholeQueue, l.Lease)
	if err != nil || taken.size() != want || taken.suppressed > 0 {
		t.Fatalf("claimed %d, %v, want %d", taken.size(), err, want)
	}
	return taken.tasks
}

func TestClaimsTakeEachRecipientOnceInFairOrder(t *testing.T) {
	l, c := newLoop(t)
	large := seed(t, l.DB, c.now, c.now, 50)
	small := seed(t, l.DB, c.now, c.now, 2)
	first := mustClaim(t, l, 4, 4)
	of := map[uuid.UUID]int{}
	for _, task := range first {
		of[task.notificationID]++
	}
	if of[large] != 2 || of[small] != 2 {
		t.Errorf("the first four are %d of the large and %d of the small one", of[large], of[small])
	}
	second := mustClaim(t, l, 100, 48)
	seen := map[uuid.UUID]bool{}
	for _, task := range append(first, second...) {
		if seen[task.mail.ID] {
			t.Error("claimed twice")
		}
		seen[task.mail.ID] = true
	}
	mustClaim(t, l, 100, 0)
}

func TestSettlementByAWorkerThatLostItsLeaseChangesNothing(t *testing.T) {
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 1)
	old := mustClaim(t, l, 1, 1)
	if _, err := l.DB.Exec(t.Context(), "update recipients set leased_until = clock_timestamp() - interval '1 ms'"); err != nil {
		t.Fatal(err)
	}
	if err := l.queueExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	current := mustClaim(t, l, 1, 1)
	lost, err := l.store.settle(t.Context(), l.Policy, result(old, notifyapi.OutcomePermanent, 550, c.now))
	if err != nil || lost != 1 {
		t.Errorf("lost %d, %v", lost, err)
	}
	if got := text(t, l.DB, "select status::text || attempts from recipients"); got != "queued0" {
		t.Errorf("the old worker changed it to %s", got)
	}
	if n := text(t, l.DB, "select count(*)::text from attempts"); n != "0" {
		t.Errorf("%s attempts were recorded", n)
	}
	lost, err = l.store.settle(t.Context(), l.Policy, result(current, notifyapi.OutcomeSent, 250, c.now))
	if err != nil || lost != 0 || text(t, l.DB, "select status::text || attempts from recipients") != "sent1" {
		t.Errorf("the holder can't settle: %d, %v", lost, err)
	}
}

func TestLeaseThatHasNotExpiredIsNotTakenOver(t *testing.T) {
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 3)
	mustClaim(t, l, 3, 3)
	c.now = c.now.Add(time.Hour) // leases use the database's time
	if err := l.queueExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClaim(t, l, 3, 0)
}

func TestReleasedRecipientKeepsItsPlaceInTheQueue(t *testing.T) {
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 2)
	const rows = "select string_agg(status::text || attempts || queue_at || coalesce(lease_token::text, '-'), ',' order by ordinal) from recipients"
	before := text(t, l.DB, rows)
	tasks := mustClaim(t, l, 2, 2)
	if err := l.store.release(t.Context(), c.now, result(tasks, email.NotTried, 0, c.now)); err != nil {
		t.Fatal(err)
	}
	if after := text(t, l.DB, rows); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestDelayedRecipientIsQueuedAgainWhenDue(t *testing.T) {
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 1)
	for attempt := 1; attempt <= 3; attempt++ {
		tasks := mustClaim(t, l, 1, 1)
		if tasks[0].history.Failures != attempt-1 {
			t.Errorf("attempt %d knows of %d failures", attempt, tasks[0].history.Failures)
		}
		if _, err := l.store.settle(t.Context(), l.Policy, result(tasks, notifyapi.OutcomeTemporary, 450, c.now)); err != nil {
			t.Fatal(err)
		}
		if err := l.queueDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustClaim(t, l, 1, 0)
		c.now = c.now.Add(30 * time.Second << (attempt - 1))
		if err := l.queueDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(t, l.DB, "select string_agg(number || outcome::text || code, ',' order by number) from attempts"); got != "1temporary450,2temporary450,3temporary450" {
		t.Errorf("attempts: %s", got)
	}
}

func TestRecipientCanceledWhileSendingIsNotTriedAgain(t *testing.T) {
	for _, tc := range []struct {
		outcome notifyapi.Outcome
		want    string
	}{
		{notifyapi.OutcomeSent, "sent"}, {notifyapi.OutcomeTemporary, "canceled"}, {notifyapi.OutcomePermanent, "failed"},
		{notifyapi.OutcomeUncertain, "uncertain"}, {email.NotTried, "canceled"},
	} {
		t.Run(string(tc.outcome), func(t *testing.T) {
			l, c := newLoop(t)
			seed(t, l.DB, c.now, c.now, 1)
			tasks := mustClaim(t, l, 1, 1)
			if _, err := l.DB.Exec(t.Context(), "update recipients set canceled = true"); err != nil {
				t.Fatal(err)
			}
			l.settleBatch(t.Context(), result(tasks, tc.outcome, 0, c.now))
			if got := text(t, l.DB, "select status::text || (finished_at is not null) || (queue_at is null) from recipients"); got != tc.want+"truetrue" {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestClaimReadsTheIndexInOrderWhateverTheStatisticsSay(t *testing.T) {
	l, c := newLoop(t)
	for range 20 {
		seed(t, l.DB, c.now, c.now, 1000)
	}
	// No analyze: the planner believes that the queue is short.
	var plan string
	err := pgx.BeginFunc(t.Context(), l.DB, func(tx pgx.Tx) error {
		if err := notificationdb.New(tx).DeliveryPlanByIndex(t.Context()); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), "explain select id from recipients where queue_at is not null order by queue_at limit 100 for update skip locked")
		if err != nil {
			return err
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, line := range lines {
			plan += line + "\n"
		}
		return err
	})
	if err != nil || !strings.Contains(plan, "Index Scan using recipients_queue") || strings.Contains(plan, "Sort") {
		t.Errorf("%v\n%s", err, plan)
	}
}

func TestClaimIsNotCompiledInASessionWithJIT(t *testing.T) {
	l, _ := newLoop(t)
	explain := func(settings func(pgx.Tx) error) (plan string) {
		err := pgx.BeginFunc(t.Context(), l.DB, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "set local jit = on"); err != nil {
				return err
			}
			if err := settings(tx); err != nil {
				return err
			}
			rows, err := tx.Query(t.Context(), "explain select from recipients where queue_at is not null and not exists (select from sending where paused_at is not null)")
			if err != nil {
				return err
			}
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			plan = strings.Join(lines, "\n")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if plan := explain(func(tx pgx.Tx) error { return notificationdb.New(tx).DeliveryPlanByIndex(t.Context()) }); strings.Contains(plan, "JIT:") {
		t.Errorf("it is compiled:\n%s", plan)
	}
	control := explain(func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "set local enable_seqscan = off")
		return err
	})
	if text(t, l.DB, "select pg_jit_available()::text") == "true" && !strings.Contains(control, "JIT:") {
		t.Errorf("the control is not compiled:\n%s", control)
	}
}

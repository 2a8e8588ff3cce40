package faulttest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/smtptest"
)

// alertTrial causes one fault after the other on one stack and keeps what was scraped.
type alertTrial struct {
	*watched
	t            *testing.T
	in           string // where mail is handed in
	script       atomic.Pointer[func(smtptest.Event) string]
	server       *smtptest.Server
	crm          *service
	notification *service
	customer     *client
	tickets      int
	histories    []history
}

// TestEachAlertFiresUnderItsFault causes each fault on both services and lets promtool
// evaluate the rules over what they exported. The control is the stack without a fault,
// under which no alert fires.
func TestEachAlertFiresUnderItsFault(t *testing.T) {
	needPromtool(t)
	trial := &alertTrial{watched: newWatched(t), t: t, in: freeAddress(t)}
	trial.server = (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if script := trial.script.Load(); script != nil {
			return (*script)(e)
		}
		return ""
	}}).Start(t, "")
	trial.start()
	trial.healthy()
	trial.mailsRefused()
	trial.mailsUncertain()
	trial.sendingPaused()
	trial.mailServerAway()
	trial.notificationAway()
	trial.overloaded()
	trial.streamStuck()
	trial.databaseAway()
	trial.crmAway()
	trial.evaluate()
}

func (a *alertTrial) start() {
	a.startBoth()
	people := newPeople(a.t, a.crm, 1)
	a.customer = people.customer.client
}

func (a *alertTrial) startBoth() {
	a.crm = a.startCRM(a.t, variables{
		"CRM_OPS_ADDR": a.crmOps, "CRM_DATABASE_POOL_SIZE": "8", "CRM_MAX_REQUESTS": "12", "CRM_SUPPORT_ADDRESS": "support@fixdesk.test",
	})
	a.startNotify()
}

func (a *alertTrial) startNotify() {
	a.notification = a.startNotification(a.t, variables{
		"NOTIFICATION_OPS_ADDR": a.notifyOps, "NOTIFICATION_SMTP_URL": "smtp://" + a.server.Addr() + "?tls=none",
		"NOTIFICATION_INBOUND_ADDR": a.in, "NOTIFICATION_INBOUND_DOMAINS": "fixdesk.test", "NOTIFICATION_RETRY_BASE": "1h", "NOTIFICATION_RETRY_CAP": "2h",
	})
}

// raise raises tickets, each with a mail or two.
func (a *alertTrial) raise(n int) {
	a.t.Helper()
	for range n {
		a.tickets++
		a.customer.must(a.t, "POST", "/v1/tickets", newTicket(a.tickets), 201)
	}
}

// answer makes the mail server answer a command with a reply; "" is the usual one.
func (a *alertTrial) answer(verb, reply string) {
	script := func(e smtptest.Event) string {
		if e.Verb == verb {
			return reply
		}
		return ""
	}
	a.script.Store(&script)
}

// await scrapes until the condition holds.
func (a *alertTrial) await(what string, holds func(scrape) bool) (s scrape) {
	a.t.Helper()
	eventually(a.t, what, func() bool {
		s = a.scrape(a.t)
		return holds(s)
	})
	return s
}

// keep keeps a trial.
func (a *alertTrial) keep(name string, before, under scrape, firing ...string) {
	a.histories = append(a.histories, history{name, before, under, firing})
}

func (a *alertTrial) exec(db *pgxpool.Pool, sql string, arguments ...any) {
	a.t.Helper()
	if _, err := db.Exec(context.Background(), sql, arguments...); err != nil {
		a.t.Fatalf("%s: %v", sql, err)
	}
}

const (
	mails   = "notification_mails_total"
	latency = "notification_mail_latency_seconds_count"
)

func (a *alertTrial) healthy() {
	before := a.await("the gauges are read", func(s scrape) bool {
		return !math.IsNaN(s.sum("outbox_pending")) && !math.IsNaN(s.sum("notification_inbound_waiting")) && !math.IsNaN(s.sum("notification_oldest_due_age_seconds"))
	})
	sent := before.sum(latency)
	a.raise(3)
	under := a.await("mails are sent", func(s scrape) bool { return s.sum(latency) >= sent+6 })
	a.keep("healthy", before, under)
}

func (a *alertTrial) mailsRefused() {
	before := a.scrape(a.t)
	a.answer("RCPT", "550 5.7.1 refused")
	a.raise(3)
	under := a.await("mails are refused", func(s scrape) bool { return s.sum(mails, `outcome="permanent"`) >= 6 })
	if under.sum("notification_smtp_replies_total", `class="5xx"`, `phase="rcpt"`) != 6 {
		a.t.Errorf("the replies are not counted: %v", under.values)
	}
	a.keep("mails are refused", before, under, "FixdeskMailsRefused")
}

func (a *alertTrial) mailsUncertain() {
	before := a.scrape(a.t)
	a.answer("DOT", smtptest.Drop)
	a.raise(1)
	under := a.await("mails are uncertain", func(s scrape) bool { return s.sum(mails, `outcome="uncertain"`) >= 2 })
	a.keep("mails are uncertain", before, under, "FixdeskMailsUncertain")
}

// sendingPaused pauses sending, first without a mail that is due, which is no fault.
func (a *alertTrial) sendingPaused() {
	before := a.scrape(a.t)
	a.answer("", "")
	direct := newClient(a.t, a.notification.url, a.serviceToken(a.t, "notifications:manage"))
	direct.must(a.t, "POST", "/v1/sending/pause", nil, 200)
	idle := a.await("sending is paused", func(s scrape) bool { return s.sum("notification_sending_paused") == 1 })
	a.keep("sending is paused and no mail is due", before, idle)
	a.raise(1)
	under := a.await("a mail is due", func(s scrape) bool { return s.sum("notification_oldest_due_age_seconds") > 0 })
	a.keep("sending is paused", before, under, "FixdeskSendingPaused")
	direct.must(a.t, "POST", "/v1/sending/resume", nil, 200)
	sent := under.sum(latency)
	a.await("mails are sent again", func(s scrape) bool {
		return s.sum(latency) >= sent+2 && s.sum("notification_sending_paused") == 0
	})
}

// mailServerAway lets mails wait for ten minutes by moving back when they were due.
func (a *alertTrial) mailServerAway() {
	before := a.scrape(a.t)
	address := a.server.Addr()
	a.server.Close()
	a.raise(10)
	a.await("the mail server is in trouble", func(s scrape) bool { return s.sum("notification_smtp_circuit_open") == 1 })
	eventually(a.t, "all mails are requested", func() bool {
		return count(a.t, a.stack.crm, "select count(*) from outbox where done_at is null") == 0
	})
	a.exec(a.notify, `update recipients set enqueued_at = enqueued_at - interval '10 minutes', next_attempt_at = next_attempt_at - interval '10 minutes',
		queue_at = queue_at - interval '10 minutes' where status = 'queued'`)
	under := a.await("mails are late", func(s scrape) bool { return s.sum("notification_oldest_due_age_seconds") > 300 })
	a.keep("the mail server is away", before, under, "FixdeskMailServerInTrouble", "FixdeskMailDelayed")
	a.answer("", "")
	if err := a.server.Listen(address); err != nil {
		a.t.Fatal(err)
	}
	late := a.await("late mails are sent", func(s scrape) bool {
		return s.sum(latency)-s.sum("notification_mail_latency_seconds_bucket", `le="60"`) > 3
	})
	a.keep("mails are sent late", under, late, "FixdeskMailBudgetBurnsFast", "FixdeskMailBudgetBurns")
}

func (a *alertTrial) notificationAway() {
	before := a.scrape(a.t)
	a.notification.Kill()
	<-a.notification.Done()
	a.raise(1)
	a.exec(a.stack.crm, "update outbox set created_at = created_at - interval '10 minutes' where done_at is null")
	under := a.await("the outbox is late", func(s scrape) bool { return s.sum("outbox_oldest_pending_age_seconds") > 300 })
	a.keep("the notification service is away", before, under, "FixdeskDown", "FixdeskReplicaDown", "FixdeskOutboxDelayed")
	a.exec(a.stack.crm, "update outbox set data = '[]' where done_at is null")
	a.startNotify()
	dead := a.await("entries are given up", func(s scrape) bool { return s.sum("outbox_dead") > 0 })
	a.keep("an entry can't be read", under, dead, "FixdeskOutboxDead")
}

// overloaded locks the tickets, so that all requests wait for the database.
func (a *alertTrial) overloaded() {
	before := a.scrape(a.t)
	tx, err := a.stack.crm.Begin(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(a.t.Context(), "lock table tickets in access exclusive mode"); err != nil {
		a.t.Fatal(err)
	}
	stop := load(40, func(ctx context.Context, _, n int) {
		_, _ = a.customer.do(ctx, "POST", "/v1/tickets", newTicket(n))
	})
	under := a.await("requests are turned away", func(s scrape) bool {
		return s.sum("http_requests_rejected_total") > before.sum("http_requests_rejected_total") &&
			s.sum("pgxpool_acquired_connections", `job="crm"`) == 8 && s.sum("http_requests_total", `job="crm"`, `status="503"`) > before.sum("http_requests_total", `job="crm"`, `status="503"`)
	})
	_ = tx.Rollback(context.Background())
	stop()
	a.keep("overload", before, under, "FixdeskOverloaded", "FixdeskPoolExhausted", "FixdeskErrorBudgetBurnsFast", "FixdeskErrorBudgetBurns")
}

// streamStuck holds the lock of the sequencer of events.
func (a *alertTrial) streamStuck() {
	before := a.scrape(a.t)
	tx, err := a.stack.crm.Begin(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(a.t.Context(), "select pg_advisory_xact_lock(hashtextextended('ticket_events.position', 0))"); err != nil {
		a.t.Fatal(err)
	}
	a.raise(1)
	a.exec(a.stack.crm, "update ticket_events set created_at = created_at - interval '1 minute' where position is null")
	under := a.await("events wait", func(s scrape) bool { return s.sum("event_stream_lag_seconds") > 30 })
	a.keep("the sequencer is stuck", before, under, "FixdeskEventStreamDelayed")
}

func (a *alertTrial) databaseAway() {
	before := a.scrape(a.t)
	conn, err := pgx.Connect(a.t.Context(), shared.server.URL("postgres"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	admit := func(yes bool) {
		if _, err := conn.Exec(context.Background(), fmt.Sprintf("alter database %s allow_connections %t", a.crmName, yes)); err != nil {
			a.t.Fatal(err)
		}
	}
	admit(false)
	defer admit(true)
	if _, err := conn.Exec(a.t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", a.crmName); err != nil {
		a.t.Fatal(err)
	}
	const failures = "background_failures_total"
	under := a.await("the outbox is unknown", func(s scrape) bool {
		return math.IsNaN(s.sum("outbox_pending")) && s.sum(failures, `task="assignment backlog"`) > before.sum(failures, `task="assignment backlog"`)
	})
	a.keep("the database is away", before, under, "FixdeskQueuesUnknown", "FixdeskTaskLate")
}

func (a *alertTrial) crmAway() {
	before := a.scrape(a.t)
	a.crm.Kill()
	<-a.crm.Done()
	message := "From: Ada <ada@example.com>\r\nTo: <support@fixdesk.test>\r\nSubject: Smoke\r\nMessage-ID: <1@example.com>\r\n\r\nIt smokes.\r\n"
	if err := smtp.SendMail(a.in, nil, "ada@example.com", []string{"support@fixdesk.test"}, []byte(message)); err != nil {
		a.t.Fatal(err)
	}
	a.exec(a.notify, "update inbound_mails set received_at = received_at - interval '20 minutes'")
	under := a.await("mail that came in waits", func(s scrape) bool { return s.sum("notification_inbound_oldest_age_seconds") > 600 })
	a.keep("the CRM is away", before, under, "FixdeskDown", "FixdeskInboundDelayed")
}

// evaluate lets promtool check that exactly the expected alerts fire.
func (a *alertTrial) evaluate() {
	rules := readRules(a.t)
	named := map[string]bool{}
	for _, r := range rules {
		for _, name := range metricsIn(r.expr) {
			named[name] = true
		}
	}
	tests := fmt.Sprintf("rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", absolute(a.t, rulesFile))
	fired := map[string]bool{}
	for _, h := range a.histories {
		tests += h.promtoolTest(named)
		for _, alert := range h.firing {
			fired[alert] = true
		}
	}
	file := filepath.Join(a.t.TempDir(), "tests.yml")
	if err := os.WriteFile(file, []byte(tests), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if output, err := promtool(a.t, "", "test", "rules", file); err != nil {
		a.t.Errorf("%v\n%s", err, output)
	}
	if alerts := alertsOf(rules); !slices.Equal(slices.Sorted(maps.Keys(fired)), slices.Sorted(slices.Values(alerts))) {
		a.t.Errorf("alerts seen firing: %q; all: %q", slices.Sorted(maps.Keys(fired)), alerts)
	}
}

func TestRulesArePassedByPromtool(t *testing.T) {
	needPromtool(t)
	if output, err := promtool(t, "", "check", "rules", absolute(t, rulesFile)); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

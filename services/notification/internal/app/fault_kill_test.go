package app_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/notifyapi"
)

// load creates notifications from several clients, with a pause after each, until it
// is stopped, and records which were acknowledged.
type load struct {
	mu      sync.Mutex
	acked   map[string]uuid.UUID // by recipient
	refused []error              // answers that were no success
	broken  []error              // requests that got no answer
	wg      sync.WaitGroup
	cancel  context.CancelFunc
}

func startLoad(clients int, name string, client *notifyapi.Client) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{acked: map[string]uuid.UUID{}, cancel: cancel}
	for c := range clients {
		l.wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				to := fmt.Sprintf("%s-%d-%d@example.org", name, c, n)
				stored, err := client.Create(context.Background(), to, newMail(to))
				l.mu.Lock()
				var answer *notifyapi.Error
				switch {
				case err == nil:
					l.acked[to] = stored.ID
				case errors.As(err, &answer):
					l.refused = append(l.refused, err)
				default:
					l.broken = append(l.broken, err)
				}
				l.mu.Unlock()
				pause()
			}
		})
	}
	return l
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// awaitAcknowledged waits until the notification is acknowledged whose recipient arrives.
func (l *load) awaitAcknowledged(t testing.TB, recipient <-chan string) {
	t.Helper()
	eventually(t, "a mail waits for the mail server", func() bool { return len(recipient) > 0 })
	to := <-recipient
	eventually(t, "the mail that waits is acknowledged", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, acknowledged := l.acked[to]
		return acknowledged
	})
}

// counts returns how often each address got a mail.
func counts(messages []smtptest.Message) map[string]int {
	n := map[string]int{}
	for _, m := range messages {
		n[m.To]++
	}
	return n
}

func query(t testing.TB, url, sql string, args ...any) []string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(context.Background(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// execute runs statements that return no rows.
func execute(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// drained waits until no recipient is unfinished.
func drained(t testing.TB, url string, limit time.Duration) {
	t.Helper()
	unfinished := counter(t, url, "select count(*) from recipients where finished_at is null")
	deadline := time.Now().Add(limit)
	for open := unfinished(); open > 0; open = unfinished() {
		if time.Now().After(deadline) {
			t.Fatalf("%d recipients are still unfinished", open)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// expireLeases ends all leases, so that a trial does not wait for their expiry.
func expireLeases(t testing.TB, url string) {
	t.Helper()
	execute(t, url, "update recipients set leased_until = clock_timestamp() where lease_token is not null")
}

// killTrial kills the program under load, starts it again, and counts. fault is
// SQL that runs first and disables a safeguard; it may be empty.
func killTrial(t *testing.T, i *issuer, fault string) (acked, lost, doubled, unexplained int) {
	t.Helper()
	// A control kills while an acknowledged mail is claimed and not sent: at any other
	// moment there may be none to lose.
	var mails atomic.Int32
	waiting, killed := make(chan string, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(killed) })
	defer release()
	smtp := startSMTP(t, func(e smtptest.Event) string {
		if fault != "" && e.Verb == "RCPT" && mails.Add(1) == 151 {
			waiting <- e.Arg
			<-killed
		}
		return ""
	})
	url := newDatabase(t)
	if fault != "" {
		execute(t, url, fault)
	}
	c := testConfig(url, i.url, smtp.Addr())
	first := run(t, i, c)
	l := startLoad(4, "load", first.Client)
	smtp.Wait(t, 150, waitLimit)
	if fault != "" {
		l.awaitAcknowledged(t, waiting)
	}
	first.Kill()
	release()
	l.stop()
	eventually(t, "the mail server has read what the killed process sent", func() bool { return smtp.Connections() == 0 })
	// Only mails that the server took and the database has not as sent may be
	// delivered twice.
	settled := query(t, url, "select email from recipients where status = 'sent'")
	onTheWire := counts(smtp.Messages())
	for _, email := range settled {
		delete(onTheWire, email)
	}
	// Each worker has at most one mail on the wire, five waiting, and seven in a
	// settlement.
	if bound := 20 * c.SMTPConnections; fault == "" && len(onTheWire) > bound {
		t.Errorf("%d mails were taken and not settled, want at most %d", len(onTheWire), bound)
	}
	expireLeases(t, url) // the killed process can't use them any more
	run(t, i, c)
	drained(t, url, waitLimit)
	got := counts(smtp.Messages())
	for email := range l.acked {
		if got[email] == 0 {
			lost++
		}
	}
	for email, n := range got {
		if n > 1 {
			doubled++
		}
		if n > 1 && onTheWire[email] == 0 || n > 2 {
			unexplained++
		}
	}
	report(t, differingRepeats(smtp.Messages()))
	return len(l.acked), lost, doubled, unexplained
}

func TestKillUnderLoadLosesNoMailAndRepeatsOnlyThoseBeingSent(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var acked, lost, doubled, unexplained int
	for range trials.Count(1, 1) {
		a, l, d, u := killTrial(t, i, "")
		acked, lost, doubled, unexplained = acked+a, lost+l, doubled+d, unexplained+u
	}
	t.Logf("acknowledged %d, lost %d, doubled %d (unexplained %d)", acked, lost, doubled, unexplained)
	if acked == 0 || lost > 0 || unexplained > 0 {
		t.Errorf("acknowledged %d, lost %d, unexplained %d", acked, lost, unexplained)
	}
}

// settledAtClaim marks a recipient as sent as soon as it is claimed, like a
// mailer that moves its checkpoint when it fetches.
const settledAtClaim = `
create function settled_at_claim() returns trigger language plpgsql as $$
begin
    new.lease_token := null; new.leased_until := null; new.status := 'sent'; new.finished_at := now();
    return new;
end $$;
create trigger settled_at_claim before update on recipients for each row
    when (old.lease_token is null and new.lease_token is not null) execute function settled_at_claim();`

func TestControlWithoutALeaseAKillLosesMails(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	if _, lost, _, _ := killTrial(t, i, settledAtClaim); lost == 0 {
		t.Error("nothing was lost without the safeguard: the trial can't fail")
	}
}

// replicasTrial sends n notifications of one recipient through two processes, and
// returns how many mails were delivered twice and how many not at all.
func replicasTrial(t *testing.T, n int, fault string) (doubled, missing int) {
	t.Helper()
	i := newIssuer(t)
	smtp := startSMTP(t, nil)
	url := newDatabase(t)
	if fault != "" {
		execute(t, url, fault)
	}
	c := testConfig(url, i.url, smtp.Addr())
	both := []*process{run(t, i, c), run(t, i, c)}
	recipients := numbered("r", n)
	var wg sync.WaitGroup
	for part := range slices.Chunk(recipients, (n+7)/8) {
		wg.Go(func() {
			for k, to := range part {
				if _, err := both[k%2].Create(context.Background(), to, newMail(to)); err != nil {
					t.Errorf("create: %v", err)
				}
			}
		})
	}
	wg.Wait()
	drained(t, url, waitLimit)
	for _, p := range both {
		if err := p.terminate(t); err != nil {
			t.Errorf("replica ended with %v", err)
		}
	}
	got := counts(smtp.Messages())
	for _, to := range recipients {
		switch {
		case got[to] == 0:
			missing++
		case got[to] > 1:
			doubled++
		}
	}
	return doubled, missing
}

func TestTwoReplicasSendEachNotificationOnce(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	if doubled, missing := replicasTrial(t, trials.Count(300, 2000), ""); doubled > 0 || missing > 0 {
		t.Errorf("%d doubled, %d missing", doubled, missing)
	}
}

// leftInQueue keeps a recipient in the queue at its first claim, so that another
// replica claims it too.
const leftInQueue = `
create function left_in_queue() returns trigger language plpgsql as $$
begin
    new.lease_token := null; new.leased_until := null; new.queue_at := old.queue_at; new.attempts_before := -1;
    return new;
end $$;
create trigger left_in_queue before update on recipients for each row
    when (old.lease_token is null and new.lease_token is not null and old.attempts_before = 0) execute function left_in_queue();`

func TestControlWithoutALeaseReplicasDoubleMails(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	if doubled, _ := replicasTrial(t, 50, leftInQueue); doubled == 0 {
		t.Error("nothing was doubled without the safeguard: the trial can't fail")
	}
}

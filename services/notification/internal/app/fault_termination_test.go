package app_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/dev/trials"
)

// withoutRepeat hides from Go's transport that a request can be repeated. The
// transport would repeat a request that was cut off and report only that the
// repeat could not connect.
type withoutRepeat struct{ http.RoundTripper }

func (s withoutRepeat) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.GetBody = nil
	return s.RoundTripper.RoundTrip(r)
}

// heldMails returns a hook that stops the server from answering mails after the
// given number, and a function that counts the unanswered ones.
func heldMails(after int32) (hook func(smtptest.Event) string, held func() int, release func()) {
	var dots, waiting atomic.Int32
	open := make(chan struct{})
	return func(e smtptest.Event) string {
		if e.Verb == "DOT" && dots.Add(1) > after {
			waiting.Add(1)
			<-open
		}
		return ""
	}, func() int { return int(waiting.Load()) }, sync.OnceFunc(func() { close(open) })
}

// heldRequests blocks the storing of requests until release is called.
func heldRequests(t *testing.T, url string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	t.Cleanup(release)
	if _, err := conn.PgConn().Exec(t.Context(), "begin; lock table notifications in share mode").ReadAll(); err != nil {
		t.Fatal(err)
	}
	return release
}

// counter returns a function that runs a query of one number, each time over the same
// connection.
func counter(t testing.TB, url, sql string) func() int {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return func() (n int) {
		t.Helper()
		if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// terminationTrial ends the program while mails are on the wire, recipients
// claimed, and requests in flight, starts it again, and returns what went wrong.
// fault is SQL that runs first and disables a safeguard; it may be empty.
func terminationTrial(t *testing.T, i *issuer, signal syscall.Signal, fault string) (wrong []string) {
	t.Helper()
	const clients, taken = 4, 100
	hook, held, releaseMails := heldMails(taken)
	smtp := startSMTP(t, hook)
	t.Cleanup(releaseMails)
	url := newDatabase(t)
	execute(t, url, fault)
	c := testConfig(url, i.url, smtp.Addr())
	c.DatabasePoolSize = 2 * clients // the background tasks wait for the lock, too
	p := run(t, i, c)
	p.HTTPClient.Transport = withoutRepeat{p.HTTPClient.Transport}
	l := startLoad(clients, "term", p.Client)
	claimed := counter(t, url, "select count(*) from recipients where queue_at is null")
	eventually(t, "mails are on the wire and more are claimed", func() bool {
		return held() == c.SMTPConnections && claimed() > taken+c.SMTPConnections
	})
	releaseRequests := heldRequests(t, url)
	waiting := counter(t, url, `select count(*) from pg_stat_activity
		where wait_event_type = 'Lock' and datname = current_database() and query like '%NotificationInsert%'`)
	eventually(t, "every client's request is in flight", func() bool { return waiting() == clients })
	p.signal(t, signal)
	eventually(t, "no connection is taken", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.BaseURL, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	releaseRequests()
	releaseMails()
	if err := p.wait(t); err != nil {
		wrong = append(wrong, fmt.Sprintf("ended with %v\n%s", err, p.log))
	}
	l.stop()
	return append(wrong, afterTermination(t, i, l, smtp, p)...)
}

// afterTermination starts the program again and checks the results of the load.
func afterTermination(t *testing.T, i *issuer, l *load, smtp *smtptest.Server, ended *process) (wrong []string) {
	t.Helper()
	for _, err := range l.broken {
		if !isRefused(err) {
			wrong = append(wrong, fmt.Sprintf("a request broke: %v", err))
		}
	}
	for _, err := range l.refused {
		wrong = append(wrong, fmt.Sprintf("a request failed: %v", err))
	}
	url := ended.config.DatabaseURL.Reveal()
	expireLeases(t, url)
	run(t, i, ended.config)
	drained(t, url, waitLimit)
	return append(wrong, notOnceEach(l.acked, smtp.Messages())...)
}

func TestTerminationUnderLoadFailsNoRequestAndSendsEachMailOnce(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	i := newIssuer(t)
	for range trials.Count(1, 1) {
		report(t, terminationTrial(t, i, syscall.SIGTERM, ""))
	}
}

func TestControlKilledInsteadOfTerminatedBreaksRequestsAndDoublesMails(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	wrong := terminationTrial(t, newIssuer(t), syscall.SIGKILL, "")
	mustFind(t, wrong, "ended with signal: killed", "a request broke", "got 2 mails")
}

func TestControlKilledWithoutALeaseInsteadOfTerminatedLosesMails(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	mustFind(t, terminationTrial(t, newIssuer(t), syscall.SIGKILL, settledAtClaim), "lost its mail")
}

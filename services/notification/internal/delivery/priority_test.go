package delivery

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/smtptest"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

// seedPriority is seed with a priority and addresses that begin with it.
func seedPriority(t testing.TB, l *Loop, now, due time.Time, p notifyapi.Priority, n int) uuid.UUID {
	t.Helper()
	id := seed(t, l.DB, now, due, n)
	execute(t, l, `update recipients set priority = $2, email = $3 || email, queue_at = queue_at + $4 where notification_id = $1`,
		id, Rank(p), string(p), Interval(time.Duration(Rank(p))*PriorityStep))
	return id
}

func execute(t testing.TB, l *Loop, sql string, args ...any) {
	t.Helper()
	if _, err := l.DB.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// order is the priorities of the tasks, one letter each.
func order(tasks []*task) string {
	list := newBacklog()
	list.add(tasks...)
	var letters strings.Builder
	for range tasks {
		next, _ := list.next(true)
		letters.WriteByte(next.mail.To[0])
	}
	return letters.String()
}

func TestUrgentRecipientsAreBeforeAllOthersAndBulkBehindThem(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	old := c.now.Add(-30 * 24 * time.Hour) // bulk that waits since a long outage
	seedPriority(t, l, old, old, notifyapi.PriorityBulk, 2)
	seedPriority(t, l, c.now, c.now, notifyapi.PriorityNormal, 2)
	urgent := seedPriority(t, l, c.now, c.now, notifyapi.PriorityUrgent, 2)

	tasks := mustClaim(t, l, 6, 6)
	if got := order(tasks); got != "uunnbb" {
		t.Fatalf("claimed in the order %s", got)
	}
	// Every way back into the queue keeps the order.
	check := func(way string) {
		t.Helper()
		if first := mustClaim(t, l, 2, 2); order(first) != "uu" {
			t.Errorf("after %s the first are %s", way, order(first))
		}
		tasks = mustClaim(t, l, 6, 4)
		if got := order(tasks); got != "nnbb" {
			t.Errorf("after %s the others are %s", way, got)
		}
	}
	if err := l.store.release(t.Context(), c.now, result(tasks, email.NotTried, 0, c.now)); err != nil {
		t.Fatal(err)
	}
	check("a release")
	execute(t, l, "update recipients set leased_until = clock_timestamp() - interval '1 ms'")
	if err := l.queueExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("the end of the leases")
	execute(t, l, "update recipients set lease_token = null, leased_until = null, status = 'delayed', next_attempt_at = $1", c.now)
	if err := l.queueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("a delay")
	execute(t, l, "update recipients set lease_token = null, leased_until = null, status = 'failed', finished_at = $1", c.now)
	retried := notificationdb.NotificationRetryParams{
		NotificationID: urgent, Now: c.now, Block: Block, Quantum: Interval(Quantum), PriorityStep: Interval(PriorityStep),
	}
	for _, id := range strings.Fields(text(t, l.DB, "select string_agg(id::text, ' ') from notifications")) {
		retried.NotificationID = uuid.MustParse(id)
		if _, err := notificationdb.New(l.DB).NotificationRetry(t.Context(), retried); err != nil {
			t.Fatal(err)
		}
	}
	check("a manual retry")
}

func TestOldestDueIsFoundInEveryPriority(t *testing.T) {
	t.Parallel()
	for _, p := range []notifyapi.Priority{notifyapi.PriorityUrgent, notifyapi.PriorityNormal, notifyapi.PriorityBulk} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			l, c := newLoop(t)
			for _, other := range []notifyapi.Priority{notifyapi.PriorityUrgent, notifyapi.PriorityNormal, notifyapi.PriorityBulk} {
				seedPriority(t, l, c.now, c.now, other, 2)
			}
			old := c.now.Add(-time.Hour)
			seedPriority(t, l, old, old, p, 1)
			due, err := OldestDue(t.Context(), l.DB, c.now)
			if err != nil || !due.Equal(old) {
				t.Errorf("oldest due at %v, %v, want %v", due, err, old)
			}
		})
	}
}

// heldServer takes the first word of each recipient's address, and answers RCPT for
// bulk only once released.
func heldServer(t testing.TB) (srv *smtptest.Server, release func()) {
	t.Helper()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	srv = (&smtptest.Server{Hook: func(e smtptest.Event) string {
		if e.Verb == "RCPT" && strings.HasPrefix(e.Arg, "bulk") {
			<-held
		}
		return ""
	}}).Start(t, "")
	t.Cleanup(release)
	return srv, release
}

// mailed is how many mails the server took for addresses that begin so.
func mailed(srv *smtptest.Server, prefix string) (n int) {
	for _, m := range srv.Messages() {
		if strings.HasPrefix(m.To, prefix) {
			n++
		}
	}
	return n
}

func TestUrgentMailWaitsNeitherForBulkThatIsClaimedNorForBulkThatIsBeingSent(t *testing.T) {
	t.Parallel()
	srv, release := heldServer(t)
	l := newLoopTo(t, srv, nil)
	l.Now = time.Now
	now := time.Now()
	seedPriority(t, l, now, now, notifyapi.PriorityBulk, 100)
	run(t, l)
	eventually(t, "as many bulk mails are claimed as may be", func() bool { return int(l.inHand.Load()) == l.ahead.size() })

	const urgent = 10 // more than are claimed at a time beyond the most
	seedPriority(t, l, now, now, notifyapi.PriorityBulk, 1)
	seedPriority(t, l, time.Now(), time.Now(), notifyapi.PriorityUrgent, urgent)
	l.Wake(true)
	eventually(t, "all urgent mails are sent while the bulk mails are held", func() bool { return mailed(srv, "urgent") == urgent })
	if n := mailed(srv, "bulk"); n != 0 {
		t.Errorf("%d bulk mails were sent: nothing was held", n)
	}
	release()
	eventually(t, "all are sent", func() bool { return srv.Count("") == 101+urgent })
	eventually(t, "all are settled", func() bool {
		return text(t, l.DB, "select (count(*) filter (where status = 'sent' and attempts = 1) = count(*))::text from recipients") == "true"
	})
}

func TestControlOtherMailWaitsForBulkThatIsBeingSent(t *testing.T) {
	t.Parallel()
	srv, _ := heldServer(t)
	l := newLoopTo(t, srv, nil)
	l.Now, l.Workers = time.Now, 1 // the only worker sends bulk, too
	now := time.Now()
	seedPriority(t, l, now, now, notifyapi.PriorityBulk, 1)
	run(t, l)
	eventually(t, "the bulk mail is being sent", func() bool { return len(srv.Verbs("RCPT")) == 1 })
	seedPriority(t, l, time.Now(), time.Now(), notifyapi.PriorityUrgent, 1)
	l.Wake(true)
	eventually(t, "the urgent mail is claimed", func() bool { return int(l.inHand.Load()) == 2 })
	if mailed(srv, "urgent") != 0 {
		t.Error("the urgent mail was sent although the only worker is held: the trial can't fail")
	}
}

func TestExpiredRecipientsEndUnlessTheyAreBeingSent(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	seed(t, l.DB, c.now, c.now, 7)
	execute(t, l, "update recipients set expires_at = $1 where ordinal < 6", c.now.Add(time.Minute))
	execute(t, l, "update recipients set status = 'uncertain', attempts = 1, queue_at = null, next_attempt_at = $1 where ordinal = 0", c.now.Add(time.Hour))
	execute(t, l, "update recipients set status = 'delayed', queue_at = null, next_attempt_at = $1 where ordinal = 1", c.now.Add(time.Hour))
	leased := mustClaim(t, l, 3, 3) // 2, 3 and 4
	const states = "select string_agg(ordinal || status::text || (finished_at is not null), ' ' order by ordinal) from recipients"
	expire := func(want string) {
		t.Helper()
		if err := l.expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := text(t, l.DB, states); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	expire("0uncertainfalse 1delayedfalse 2queuedfalse 3queuedfalse 4queuedfalse 5queuedfalse 6queuedfalse")
	c.now = c.now.Add(time.Minute)
	expire("0uncertaintrue 1expiredtrue 2queuedfalse 3queuedfalse 4queuedfalse 5expiredtrue 6queuedfalse")
	if _, err := l.store.settle(t.Context(), l.Policy, result(leased[:1], notifyapi.OutcomeSent, 250, c.now)); err != nil {
		t.Fatal(err)
	}
	if err := l.store.release(t.Context(), c.now, result(leased[1:2], email.NotTried, 0, c.now)); err != nil {
		t.Fatal(err)
	}
	execute(t, l, "update recipients set leased_until = clock_timestamp() - interval '1 ms' where lease_token is not null")
	if err := l.queueExpired(t.Context()); err != nil {
		t.Fatal(err)
	}
	expire("0uncertaintrue 1expiredtrue 2senttrue 3expiredtrue 4expiredtrue 5expiredtrue 6queuedfalse")
	// A mail that would wait for a slow server beyond its time ends now.
	seed(t, l.DB, c.now, c.now.Add(-time.Second), 1)
	execute(t, l, "update recipients set expires_at = $1 where finished_at is null", c.now.Add(time.Minute))
	waiting := result(mustClaim(t, l, 1, 1), email.NotTried, 0, c.now)
	waiting[0].waitUntil = c.now.Add(2 * time.Minute)
	if err := l.store.release(t.Context(), c.now, waiting); err != nil {
		t.Fatal(err)
	}
	if n := text(t, l.DB, "select count(*)::text from recipients where status = 'expired'"); n != "5" {
		t.Errorf("%s have expired, want 5", n)
	}
}

func TestMailThatExpiresWhileItsWorkerIsBusyIsNotSent(t *testing.T) {
	t.Parallel()
	srv, release := heldServer(t)
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	l := newLoopTo(t, srv, func(c *email.Config) { c.Now = clock })
	l.Now, l.Workers, l.Lease = clock, 1, time.Hour
	now := time.Now()
	seedPriority(t, l, now, now, notifyapi.PriorityBulk, 3)
	execute(t, l, "update recipients set expires_at = $1 where ordinal = 2", now.Add(10*time.Minute))
	run(t, l)
	eventually(t, "all are claimed", func() bool { return int(l.inHand.Load()) == 3 })
	ahead.Store(int64(10 * time.Minute)) // before the conversation would begin too late for the lease
	release()
	eventually(t, "all have ended", func() bool {
		return text(t, l.DB, "select string_agg(status::text, ' ' order by ordinal) from recipients") == "sent sent expired"
	})
	if n := srv.Count(""); n != 2 {
		t.Errorf("%d mails were sent, want 2", n)
	}
}

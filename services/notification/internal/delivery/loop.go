package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
)

// Config has the dependencies and settings of a Loop. Only Metrics and Traces are optional.
type Config struct {
	DB      *pgxpool.Pool
	Mailer  *email.Pool
	Policy  Policy
	Workers int           // mails at a time
	Lease   time.Duration // how long a claimed recipient is reserved; renewed while its mail is sent
	// StopTimeout bounds Run once its context ended. It must leave time for a
	// settlement after the mailer's own StopTimeout.
	StopTimeout time.Duration
	Now         func() time.Time
	Logger      *slog.Logger
	Registry    prometheus.Registerer
	Metrics     *background.Metrics // of the scheduled jobs; with the database that all share in the log
	Traces      trace.TracerProvider
}

const (
	// aheadPerWorker is how many recipients are leased for each worker at least, including
	// the one that it sends to. It keeps the worker busy between two claims, and
	// later recipients don't wait long behind so few.
	aheadPerWorker = 10
	// aheadTime is how long later recipients may wait behind those that are leased. As
	// many are leased as are sent in it, up to mostAheadPerWorker for each worker, since a
	// claim of many costs little more than a claim of a few.
	aheadTime          = 50 * time.Millisecond
	mostAheadPerWorker = 100
	// pauseAfterError is the pause after a failed call of the database.
	pauseAfterError = 500 * time.Millisecond
	// rememberedProbes is how many recipients are skipped after they were used to
	// probe the mail servers.
	rememberedProbes = 100
)

// Loop claims, sends and settles. Any number of loops may work on one database;
// the leases are their only coordination.
type Loop struct {
	Config
	store   store
	metrics *metrics
	tracer  trace.Tracer // nil without traces
	ahead   *ahead
	leases  leases

	wake    chan struct{}
	urgent  chan struct{} // urgent recipients may be queued
	freed   chan struct{}
	inHand  atomic.Int64
	extra   atomic.Int64 // of inHand, claimed beyond the most because they are urgent
	backlog *backlog
	settled chan settlement
	// unsettled is set while results can't be stored. Expired leases are then not
	// returned to the queue, since the results are stored first.
	unsettled                     atomic.Bool
	claims, settlements, renewals *background.Reporter
	reads                         *background.Reporter // of contents that are not claimed with their recipients
}

// reporter logs for something that the loop does again and again.
func (c Config) reporter(job string) *background.Reporter {
	return &background.Reporter{Job: job, Log: c.Logger, Metrics: c.Metrics}
}

// NewLoop makes a loop; it starts with Run.
func NewLoop(c Config) *Loop {
	return &Loop{
		Config: c, store: store{c.DB, &contents{}}, metrics: newMetrics(c.Registry, c.Mailer), tracer: newTracer(c.Traces),
		ahead: newAhead(c.Workers), wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), freed: make(chan struct{}, 1),
		backlog: newBacklog(),
		// A crash can repeat the mails on the wire, those that wait here, and those
		// that are being settled: at most 20 for each worker.
		settled: make(chan settlement, unsettledPerWorker*c.Workers),
		claims:  c.reporter("claiming mails"), settlements: c.reporter("storing results of mails"), renewals: c.reporter("renewing leases"),
		reads: c.reporter("reading contents of mails"),
	}
}

// Wake makes the loop read the queue now. It never blocks; call it after
// the commit that made a recipient due. With urgent the loop claims urgent
// recipients even while it holds as many others as it may.
func (l *Loop) Wake(urgent bool) {
	if urgent {
		signal(l.urgent)
	}
	signal(l.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func signaled(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Run works until ctx is canceled, then waits for the conversations under way,
// returns recipients that were not begun to the queue, and returns nil, all within
// StopTimeout. A conversation that takes longer than the mailer's StopTimeout
// is ended: before the final dot its recipient is returned to the queue, after
// it the outcome is uncertain. Results that the database does not store in time
// are lost, and their recipients are queued again when their leases expire.
func (l *Loop) Run(ctx context.Context) error {
	// store ends StopTimeout after ctx.
	store, endStore := context.WithCancel(context.WithoutCancel(ctx))
	defer endStore()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(l.StopTimeout, endStore) })()
	renewing, endRenewing := context.WithCancel(store)
	var workers, settling, renewal sync.WaitGroup
	renewal.Go(func() { l.renew(renewing) })
	for n := range l.Workers {
		// One worker sends no bulk mail, so that no urgent one waits for its end.
		bulk := n > 0 || l.Workers == 1
		workers.Go(func() { l.work(ctx, store, bulk) })
	}
	settling.Go(func() { l.settle(store) })
	l.claim(ctx, store)
	l.backlog.close()
	workers.Wait()
	close(l.settled)
	settling.Wait()
	endRenewing()
	renewal.Wait()
	return nil
}

// claim claims recipients for the workers. It claims again at once while more
// are queued than it could take, and waits to be woken otherwise. A claim is not
// canceled with ctx, since a committed claim whose result is lost stays leased.
func (l *Loop) claim(ctx, store context.Context) {
	var probes []string // the recipients that probed the servers in trouble
	var queue reader
	for more := true; ; {
		if !more && !wait(ctx, l.wake) || !l.waitForCapacity(ctx, store) || !l.waitForServer(ctx) {
			return
		}
		l.ahead.adapt(l.Now())
		n, probing := l.free(), !l.Mailer.UsableAt().IsZero()
		of := wholeQueue
		if probing {
			n = 1 // more would be returned to the queue
		} else {
			queue.woken = queue.woken || signaled(l.wake)
			probes, of = nil, queue.next(l.Now())
		}
		taken, err := l.take(store, n, of, probes...)
		if ctx.Err() == nil {
			l.claims.Report(ctx, err)
		}
		if err != nil {
			more = true
			if !sleep(ctx, pauseAfterError) {
				return
			}
			continue
		}
		if more = taken.size() == n; !probing {
			more = queue.claimed(taken, n)
		}
		if !more && len(probes) > 0 { // each has probed once: all but the latest may probe again
			probes, more = probes[max(1, len(probes)-1):], true
		}
		if probing {
			if !l.probe(ctx, taken.tasks, &probes) {
				return
			}
			continue
		}
		l.backlog.add(taken.tasks...)
	}
}

// take claims recipients.
func (l *Loop) take(store context.Context, n int, of places, skipped ...string) (claimed, error) {
	claimedAt := l.Now()
	taken, err := l.store.claim(store, n, claimedAt, of, l.Lease, skipped...)
	for i := range taken.tasks {
		taken.tasks[i].beginBy = claimedAt.Add(beginWithin(l.Lease))
	}
	l.inHand.Add(int64(len(taken.tasks)))
	l.metrics.suppressed.Add(float64(taken.suppressed))
	return taken, err
}

// probe sends to the claimed recipient, if there is one, and remembers it. It
// returns after that, or false when ctx has ended.
func (l *Loop) probe(ctx context.Context, tasks []*task, probes *[]string) bool {
	for _, t := range tasks {
		if len(*probes) < rememberedProbes {
			*probes = append(*probes, t.mail.To)
		}
		t.done = make(chan struct{})
		l.backlog.add(t)
		if !wait(ctx, t.done) {
			return false
		}
	}
	return true
}

// takeUrgent claims urgent recipients beyond the most that may be claimed, at most
// one for each worker at a time.
func (l *Loop) takeUrgent(ctx, store context.Context) {
	n := l.Workers - int(l.extra.Load())
	if n <= 0 || !l.Mailer.UsableAt().IsZero() {
		return
	}
	taken, err := l.take(store, n, places{before: normalFrom(l.Now())})
	if err != nil {
		if ctx.Err() == nil {
			l.claims.Report(ctx, err)
		}
		return
	}
	l.extra.Add(int64(len(taken.tasks)))
	for i := range taken.tasks {
		taken.tasks[i].extra = true
	}
	l.backlog.add(taken.tasks...)
}

// most is how many recipients may be claimed and unsettled at a time: fewer when
// the mail servers throttle.
func (l *Loop) most() int {
	if n := l.Mailer.Within(beginWithin(l.Lease)); n >= 0 {
		return max(1, min(n, l.ahead.size()))
	}
	return l.ahead.size()
}

// free is how many recipients may be claimed now.
func (l *Loop) free() int { return max(1, l.most()-int(l.inHand.Load())) }

// waitForCapacity waits until half of the recipients that may be claimed are
// settled. Meanwhile it claims urgent ones.
func (l *Loop) waitForCapacity(ctx, store context.Context) bool {
	for int(l.inHand.Load()) > l.most()/2 {
		select {
		case <-ctx.Done():
			return false
		case <-l.freed:
		case <-l.urgent:
			l.takeUrgent(ctx, store)
		}
	}
	return ctx.Err() == nil
}

// waitForServer waits while no mail server may be used.
func (l *Loop) waitForServer(ctx context.Context) bool {
	for {
		at := l.Mailer.UsableAt()
		pause := at.Sub(l.Now())
		if at.IsZero() || pause <= 0 {
			return ctx.Err() == nil
		}
		if !sleep(ctx, pause) {
			return false
		}
	}
}

func wait(ctx context.Context, c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// work sends one mail after the other, bulk mails if it may. A mail that waited for
// too long, or whose turn comes after the stop, is returned to the queue.
func (l *Loop) work(ctx, store context.Context, bulk bool) {
	stream := l.Mailer.Stream()
	defer stream.Drop()
	var next *task // begun by the stream, or to be sent next
	for {
		t := next
		next = nil
		if t == nil {
			var ok bool
			if t, ok = l.backlog.next(bulk); !ok {
				return
			}
		}
		s := settlement{task: t, result: email.Result{Outcome: email.NotTried}}
		if l.mayBegin(ctx, t) {
			l.leases.hold(t)
			s.result = l.send(ctx, store, stream, t, l.next(ctx, bulk, &next))
		} else {
			stream.Drop()
		}
		l.sent(s)
	}
}

// mayBegin reports whether the conversation about a task may begin, or go on to its
// message.
func (l *Loop) mayBegin(ctx context.Context, t *task) bool {
	return ctx.Err() == nil && l.Now().Before(t.beginBy)
}

// next takes the task that a worker sends next while it still sends another one.
func (l *Loop) next(ctx context.Context, bulk bool, next **task) email.Next {
	return email.Next{
		Take: func() (m email.Mail, ok bool) {
			t, ok := l.backlog.following(bulk)
			if !ok {
				return m, false
			}
			*next = t
			if !l.mayBegin(ctx, t) {
				return m, false
			}
			l.leases.hold(t)
			return t.mail, true
		},
		GiveBack: func() {
			l.backlog.add(*next)
			*next = nil
		},
	}
}

// sent passes on a task that was sent or is to be returned to the queue.
func (l *Loop) sent(s settlement) {
	l.backlog.ended(s.task)
	l.ahead.sent.Add(1)
	s.at = l.Now()
	if s.result.Outcome == notifyapi.OutcomeSent {
		l.metrics.sent(s.task, s.at)
	}
	if s.done != nil {
		close(s.done)
	}
	if s.result.Throttled {
		s = l.throttled(s)
	}
	l.settled <- s
	if s.extra { // more urgent ones may be queued
		l.extra.Add(-1)
		signal(l.urgent)
	}
	if int(l.inHand.Add(-1)) <= l.ahead.size()/2 {
		signal(l.freed)
	}
}

// throttled postpones a throttled mail. When the time to give up has passed, it
// is a failed try.
func (l *Loop) throttled(s settlement) settlement {
	waitUntil, givenUp := l.Policy.afterThrottling(s.history, s.at)
	if givenUp {
		s.result.Outcome = notifyapi.OutcomeTemporary
		return s
	}
	s.waitUntil = waitUntil
	return s
}

// send sends one mail. A conversation that has begun when ctx ends continues for
// at most the mailer's StopTimeout.
func (l *Loop) send(ctx, store context.Context, stream *email.Stream, t *task, next email.Next) (result email.Result) {
	defer func() {
		if p := recover(); p != nil {
			l.Logger.ErrorContext(ctx, "sending panicked", "recipient_id", t.mail.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result = email.Result{Outcome: notifyapi.OutcomeTemporary, Reply: "internal error"}
		}
	}()
	m, err := l.whole(store, t)
	l.reads.Report(ctx, err)
	if err != nil {
		return email.Result{Outcome: email.NotTried}
	}
	start := l.Now()
	result = l.traced(ctx, t, func(ctx context.Context) email.Result { return stream.Send(ctx, m, next) })
	l.metrics.observe(result, l.Now().Sub(start))
	return result
}

// whole returns a task's mail with what was not claimed with it.
func (l *Loop) whole(ctx context.Context, t *task) (m email.Mail, err error) {
	m = t.mail
	if t.large {
		if m.Text, m.HTML, err = l.store.content(ctx, t.notificationID); err != nil {
			return m, fmt.Errorf("content of recipient %s: %w", m.ID, err)
		}
	}
	if t.files > 0 {
		if m.Attachments, err = l.store.attachments(ctx, t.notificationID); err != nil {
			return m, fmt.Errorf("attachments of recipient %s: %w", m.ID, err)
		}
	}
	return m, nil
}

package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

// Config has the dependencies and settings of a Loop. Only Metrics is optional.
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
	Metrics     *background.Metrics // of the scheduled jobs
}

const (
	// aheadPerWorker is how many recipients are leased for each worker, including
	// the one that it sends to. It keeps the worker busy between two claims, and
	// later recipients don't wait long behind so few.
	aheadPerWorker = 10
	// settlers is how many settlements run at a time. While one waits for the
	// disk, the next is collected, and PostgreSQL writes both at once.
	settlers = 2
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
	ahead   int
	leases  leases

	wake    chan struct{}
	freed   chan struct{}
	inHand  atomic.Int64
	tasks   chan task
	settled chan settlement
	// unsettled is set while results can't be stored. Expired leases are then not
	// returned to the queue, since the results are stored first.
	unsettled atomic.Bool
}

// NewLoop makes a loop; it starts with Run.
func NewLoop(c Config) *Loop {
	ahead := aheadPerWorker * c.Workers
	return &Loop{
		Config: c, store: store{c.DB}, metrics: newMetrics(c.Registry, c.Mailer),
		ahead: ahead, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1),
		tasks: make(chan task, ahead),
		// A crash can repeat the mails on the wire, those that wait here, and those
		// that are being settled: at most seven for each worker.
		settled: make(chan settlement, 2*c.Workers),
	}
}

// Wake makes the loop read the queue now. It never blocks; call it after
// the commit that made a recipient due.
func (l *Loop) Wake() { signal(l.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
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
	for range l.Workers {
		workers.Go(func() { l.work(ctx, store) })
	}
	for range settlers {
		settling.Go(func() { l.settle(store) })
	}
	l.claim(ctx, store)
	close(l.tasks)
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
	for more := true; ; {
		if !more && !wait(ctx, l.wake) || !l.waitForCapacity(ctx) || !l.waitForServer(ctx) {
			return
		}
		n, probing := l.free(), !l.Mailer.UsableAt().IsZero()
		if probing {
			n = 1 // more would be returned to the queue
		} else {
			probes = nil
		}
		claimedAt := l.Now()
		tasks, err := l.store.claim(store, n, l.Lease, probes...)
		if err != nil {
			if ctx.Err() == nil {
				l.Logger.ErrorContext(ctx, "claim failed", "error", err)
			}
			more = true
			if !sleep(ctx, pauseAfterError) {
				return
			}
			continue
		}
		more = len(tasks) == n
		if !more && len(probes) > 0 { // each has probed once: all but the latest may probe again
			probes, more = probes[max(1, len(probes)-1):], true
		}
		l.inHand.Add(int64(len(tasks)))
		for _, t := range tasks {
			if probing && len(probes) < rememberedProbes {
				probes = append(probes, t.mail.To)
			}
			t.beginBy = claimedAt.Add(beginWithin(l.Lease))
			if probing {
				t.done = make(chan struct{})
			}
			l.tasks <- t // never blocks: its capacity is the most that can be claimed
			if probing && !wait(ctx, t.done) {
				return
			}
		}
	}
}

// most is how many recipients may be claimed and unsettled at a time: fewer when
// the mail servers throttle.
func (l *Loop) most() int {
	if n := l.Mailer.Within(beginWithin(l.Lease)); n >= 0 {
		return max(1, min(n, l.ahead))
	}
	return l.ahead
}

// free is how many recipients may be claimed now.
func (l *Loop) free() int { return max(1, l.most()-int(l.inHand.Load())) }

// waitForCapacity waits until half of the recipients that may be claimed are
// settled.
func (l *Loop) waitForCapacity(ctx context.Context) bool {
	for int(l.inHand.Load()) > l.most()/2 {
		if !wait(ctx, l.freed) {
			return false
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

// work sends one mail after the other. A mail that waited for too long, or whose
// turn comes after the stop, is returned to the queue.
func (l *Loop) work(ctx, store context.Context) {
	for t := range l.tasks {
		s := settlement{task: t, result: email.Result{Outcome: email.NotTried}}
		if ctx.Err() == nil && l.Now().Before(t.beginBy) {
			l.leases.hold(t)
			s.result = l.send(ctx, store, t)
		}
		s.at = l.Now()
		if t.done != nil {
			close(t.done)
		}
		if s.result.Throttled {
			s = l.throttled(s)
		}
		l.settled <- s
		if int(l.inHand.Add(-1)) <= l.ahead/2 {
			signal(l.freed)
		}
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
func (l *Loop) send(ctx, store context.Context, t task) (result email.Result) {
	defer func() {
		if p := recover(); p != nil {
			l.Logger.ErrorContext(ctx, "sending panicked", "recipient_id", t.mail.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result = email.Result{Outcome: notifyapi.OutcomeTemporary, Reply: "internal error"}
		}
	}()
	if t.large {
		text, html, err := l.store.content(store, t.notificationID)
		if err != nil {
			l.Logger.ErrorContext(ctx, "content not available", "recipient_id", t.mail.ID, "error", err)
			return email.Result{Outcome: email.NotTried}
		}
		t.mail.Text, t.mail.HTML = text, html
	}
	start := l.Now()
	result = l.Mailer.Send(ctx, t.mail)
	l.metrics.observe(result, l.Now().Sub(start))
	return result
}

// settle stores results in batches of at most two for each worker.
func (l *Loop) settle(ctx context.Context) {
	for first := range l.settled {
		batch := []settlement{first}
		for len(batch) < 2*l.Workers {
			select {
			case s, open := <-l.settled:
				if open {
					batch = append(batch, s)
					continue
				}
			default:
			}
			break
		}
		l.settleBatch(ctx, batch)
	}
}

// settleBatch tries until the database has stored the batch, or ctx ends.
// The workers wait meanwhile, so that no mail is sent whose result can't be stored.
func (l *Loop) settleBatch(ctx context.Context, batch []settlement) {
	defer l.leases.drop(batch)
	untried := func(s settlement) bool { return s.result.Outcome == email.NotTried }
	tried := slices.DeleteFunc(slices.Clone(batch), untried)
	returned := slices.DeleteFunc(slices.Clone(batch), func(s settlement) bool { return !untried(s) })
	for {
		lost, err := l.store.settle(ctx, l.Policy, tried)
		if err == nil {
			tried = nil
			l.metrics.lost.Add(float64(lost))
			if lost > 0 {
				l.Logger.WarnContext(ctx, "leases were lost before their mails were settled", "recipients", lost)
			}
			err = l.store.release(ctx, l.Now(), returned)
		}
		l.unsettled.Store(err != nil)
		if err == nil {
			return
		}
		l.Logger.ErrorContext(ctx, "settlement failed", "recipients", len(batch), "error", err)
		if !sleep(ctx, pauseAfterError) {
			return
		}
	}
}

func sortByPlace(rows []notificationdb.DeliveryClaimRow) {
	slices.SortFunc(rows, func(a, b notificationdb.DeliveryClaimRow) int { return a.QueueAt.Compare(*b.QueueAt) })
}

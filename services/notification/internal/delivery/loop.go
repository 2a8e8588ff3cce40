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

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/notificationdb"
)

// Config is what a loop needs; nothing is optional.
type Config struct {
	DB       *pgxpool.Pool
	Mailer   *email.Pool
	Policy   Policy
	Workers  int           // mails at a time
	Lease    time.Duration // how long a claimed recipient is ours
	Longest  time.Duration // SMTP conversation
	Now      func() time.Time
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

const (
	// aheadPerWorker is how many recipients are leased for each worker, the
	// one in its hands included: enough to keep it busy between two claims,
	// few enough that what comes later need not wait long behind them.
	aheadPerWorker = 10
	// settlers is how many settlements are under way at a time: while one waits
	// for the disk, the next comes together, and PostgreSQL writes both at once.
	settlers = 2
	// pauseAfterError is how long the loop leaves a failing database alone.
	pauseAfterError = 500 * time.Millisecond
	// finishTimeout bounds the last settlement after the end was asked for.
	finishTimeout = 10 * time.Second
)

// Loop claims, sends and settles. Any number of loops may work on one
// database; the leases are all that coordinates them.
type Loop struct {
	Config
	store       store
	metrics     *metrics
	startWithin time.Duration
	ahead       int

	wake    chan struct{}
	room    chan struct{}
	inHand  atomic.Int64
	tasks   chan task
	settled chan settlement
}

// NewLoop checks the lease against the longest conversation; ErrLease is in
// the chain of its error.
func NewLoop(c Config) (*Loop, error) {
	within, err := startWithin(c.Lease, c.Longest)
	if err != nil {
		return nil, err
	}
	ahead := aheadPerWorker * c.Workers
	return &Loop{
		Config: c, store: store{c.DB}, metrics: newMetrics(c.Registry, c.Mailer), startWithin: within,
		ahead: ahead, wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		tasks: make(chan task, ahead),
		// What a crash can repeat is what was on the wire, what waits here, and
		// what is being settled: seven mails for each worker at most.
		settled: make(chan settlement, 2*c.Workers),
	}, nil
}

// Wake makes the loop look at the queue now. It never blocks; call it after
// the commit that made a recipient due.
func (l *Loop) Wake() { signal(l.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run works until ctx is canceled, then ends the mails that are on the wire,
// gives back what was not begun, and returns nil. That takes no longer than
// one conversation and the last settlement.
func (l *Loop) Run(ctx context.Context) error {
	var workers, settling sync.WaitGroup
	for range l.Workers {
		workers.Go(func() { l.work(ctx) })
	}
	for range settlers {
		settling.Go(func() { l.settle(ctx) })
	}
	l.claim(ctx)
	close(l.tasks)
	workers.Wait()
	close(l.settled)
	settling.Wait()
	return nil
}

// claim keeps the workers supplied. It claims again at once while there is
// more than it could take, and waits to be woken when there is not.
func (l *Loop) claim(ctx context.Context) {
	for more := true; ; {
		if !more && !wait(ctx, l.wake) || !l.waitForRoom(ctx) || !l.waitForServer(ctx) {
			return
		}
		n := l.ahead - int(l.inHand.Load())
		if !l.Mailer.UsableAt().IsZero() {
			n = 1 // a probe: the rest would only be given back
		}
		claimedAt := l.Now()
		// Not canceled with ctx: a claim that is committed unseen would stay leased.
		tasks, err := l.store.claim(context.WithoutCancel(ctx), n, l.Lease)
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
		l.inHand.Add(int64(len(tasks)))
		for _, t := range tasks {
			t.startBy = claimedAt.Add(l.startWithin)
			l.tasks <- t // has room for all that can be in hand
		}
	}
}

// waitForRoom waits until half of what may be in hand is done.
func (l *Loop) waitForRoom(ctx context.Context) bool {
	for int(l.inHand.Load()) > l.ahead/2 {
		if !wait(ctx, l.room) {
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

// work sends one mail after the other. When the end was asked for, what was
// not begun is given back.
func (l *Loop) work(ctx context.Context) {
	for t := range l.tasks {
		s := settlement{task: t, result: email.Result{Outcome: email.NotTried}}
		if ctx.Err() == nil {
			s.result = l.send(ctx, t)
		}
		s.at = l.Now()
		l.settled <- s
		if int(l.inHand.Add(-1)) <= l.ahead/2 {
			signal(l.room)
		}
	}
}

// send does not end with ctx: a mail on the wire is finished, within the time
// that its lease leaves.
func (l *Loop) send(ctx context.Context, t task) (result email.Result) {
	defer func() {
		if p := recover(); p != nil {
			l.Logger.ErrorContext(ctx, "sending panicked", "recipient_id", t.mail.ID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result = email.Result{Outcome: notifyapi.OutcomeTemporary, Reply: "internal error"}
		}
	}()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), t.startBy)
	defer cancel()
	if t.large {
		text, html, err := l.store.content(ctx, t.notificationID)
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

// settle writes results down in batches of what has come together meanwhile,
// at most two for each worker.
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

// settleBatch tries until the database has taken the batch. Meanwhile the
// workers wait, so that nothing is sent that can't be written down. After the
// end was asked for it gives up within finishTimeout, and the leases run out.
func (l *Loop) settleBatch(ctx context.Context, batch []settlement) {
	tried := slices.DeleteFunc(slices.Clone(batch), func(s settlement) bool { return s.result.Outcome == email.NotTried })
	untried := slices.DeleteFunc(slices.Clone(batch), func(s settlement) bool { return s.result.Outcome != email.NotTried })
	write := context.WithoutCancel(ctx)
	var giveUp <-chan struct{}
	for {
		lost, err := l.store.settle(write, l.Policy, tried)
		if err == nil {
			tried = nil
			l.metrics.lost.Add(float64(lost))
			if lost > 0 {
				l.Logger.WarnContext(ctx, "leases were lost before their mails were settled", "recipients", lost)
			}
			err = l.store.release(write, l.Now(), untried)
		}
		if err == nil {
			return
		}
		l.Logger.ErrorContext(ctx, "settlement failed, trying again", "recipients", len(batch), "error", err)
		if ctx.Err() != nil && giveUp == nil {
			finish, cancel := context.WithTimeout(write, finishTimeout)
			defer cancel()
			write, giveUp = finish, finish.Done()
		}
		if giveUp != nil && write.Err() != nil {
			return
		}
		sleep(write, pauseAfterError)
	}
}

func sortByPlace(rows []notificationdb.DeliveryClaimRow) {
	slices.SortFunc(rows, func(a, b notificationdb.DeliveryClaimRow) int { return a.QueueAt.Compare(*b.QueueAt) })
}

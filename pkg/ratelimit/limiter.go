package ratelimit

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
)

const (
	// settleInterval is the least time between two statements.
	settleInterval = 25 * time.Millisecond
	settleBatch    = 1000 // callers
	settleTimeout  = time.Second

	idleInterval  = 10 * time.Second
	purgeInterval = 10 * time.Minute
	purgeBatch    = 1000 // rows

	// maxWait is how long a request waits for a settlement.
	maxWait = 100 * time.Millisecond

	// maxCallers is how many callers of one policy a replica remembers, about 200
	// bytes each. Of a few more, the one with the fullest bucket is forgotten.
	maxCallers = 20_000
	// evictionSample is how many callers are compared to forget one.
	evictionSample = 8
)

// Config is what a limiter is made of. All fields are required, save Metrics.
type Config struct {
	Pool     *pgxpool.Pool
	Policies []Policy
	Now      func() time.Time
	Log      *slog.Logger
	Registry *prometheus.Registry
	Metrics  *background.Metrics
}

// Limiter limits the callers of one service.
type Limiter struct {
	config   Config
	store    store
	start    time.Time
	longest  time.Duration // two windows: no bucket owes more than it holds
	maxWait  time.Duration
	loop     *background.Loop
	rejected *prometheus.CounterVec
	charged  *prometheus.CounterVec

	mu       sync.Mutex
	policies map[string]*callers
	due      map[*caller]struct{}
	// shared is false while the database doesn't answer.
	shared bool
	forgot time.Duration // when callers were last forgotten
}

// callers are the callers of one policy.
type callers struct {
	Policy
	known map[string]*caller
}

type caller struct {
	bucket
	policy  *callers
	id      string
	queued  bool          // among due, or being settled
	settled chan struct{} // closed by the next settlement; nil while no request waits
}

// New makes a limiter. Its jobs settle and purge; without them each replica limits
// by itself.
func New(c Config) *Limiter {
	l := &Limiter{
		config: c, store: store{c.Pool}, start: c.Now(), maxWait: maxWait, shared: true,
		policies: map[string]*callers{}, due: map[*caller]struct{}{},
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rate_limit_rejected_total", Help: "Requests answered 429 because the caller's bucket was empty.",
		}, []string{"policy"}),
		charged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rate_limit_charged_total", Help: "Tokens that this replica took from the shared buckets in the database.",
		}, []string{"policy"}),
	}
	c.Registry.MustRegister(l.rejected, l.charged)
	for _, p := range c.Policies {
		if p.PerMinute > 0 && p.Burst > 0 {
			l.addPolicy(p)
		}
	}
	l.loop = background.New(background.Config{
		Name: "request limits", Interval: idleInterval, MinInterval: settleInterval, Timeout: settleTimeout,
		RunOnce: l.settle, Log: c.Log, Metrics: c.Metrics,
	})
	return l
}

func (l *Limiter) addPolicy(p Policy) {
	known := &callers{Policy: p, known: map[string]*caller{}}
	l.policies[p.Name] = known
	l.longest = max(l.longest, 2*p.window())
	l.rejected.WithLabelValues(p.Name)
	l.charged.WithLabelValues(p.Name)
	l.config.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "rate_limit_callers", Help: "Callers that this replica remembers.", ConstLabels: prometheus.Labels{"policy": p.Name},
	}, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(known.known))
	}))
}

// Jobs are the background work: the settlements of this replica, and the purge of
// full buckets, on one replica at a time.
func (l *Limiter) Jobs() []*background.Loop {
	purge := &pg.Purge{Max: purgeBatch, Delete: l.store.purge}
	return []*background.Loop{l.loop, background.New(background.Config{
		Name: "request limit purge", Interval: purgeInterval, Jitter: purgeInterval / 10, Timeout: purgeInterval,
		RunOnce: purge.RunOnce, Exclusive: pg.Exclusive(l.config.Pool), Log: l.config.Log, Metrics: l.config.Metrics,
	})}
}

// Take takes one token from the bucket that the policy has for the caller of this
// id. It fails with errs.CodeRateLimited when the bucket is empty. Where the policy
// has no rate it does nothing and returns a zero Quota.
//
// It waits for the database only when the caller is faster than the settlements, for
// at most 100 ms; a database that doesn't answer then is not waited for again.
func (l *Limiter) Take(ctx context.Context, policy, id string) (Quota, error) {
	c := l.policies[policy]
	if c == nil {
		return Quota{}, nil
	}
	q, v, settled := l.try(c, id, false)
	if v == waiting {
		q, v = l.wait(ctx, c, id, settled)
	}
	if v == taken {
		return q, nil
	}
	l.rejected.WithLabelValues(policy).Inc()
	untilToken := q.Reset - q.Window + c.duration(1)
	return q, errs.New(errs.RateLimited, errs.CodeRateLimited, "Too many requests. Wait before the next one.").After(untilToken)
}

// wait tries again after each settlement, until maxWait is over.
func (l *Limiter) wait(ctx context.Context, c *callers, id string, settled <-chan struct{}) (Quota, outcome) {
	timeout := time.NewTimer(l.maxWait)
	defer timeout.Stop()
	for {
		select {
		case <-settled:
		case <-timeout.C:
			q, v, _ := l.try(c, id, true)
			return q, v
		case <-ctx.Done():
			return Quota{}, taken // nobody waits for the answer
		}
		q, v, next := l.try(c, id, false)
		if v != waiting {
			return q, v
		}
		settled = next
	}
}

// try takes a token if it can. If v is waiting, settled is closed by the next
// settlement. With unanswered the database counts as away until it answers.
func (l *Limiter) try(c *callers, id string, unanswered bool) (q Quota, v outcome, settled <-chan struct{}) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = l.shared && !unanswered
	who := c.known[id]
	if who == nil {
		who = l.remember(c, id, now)
	}
	v = who.take(c.Policy, now, l.shared)
	if v == waiting || who.bucket.due(c.Policy, now) {
		l.enqueue(who)
	}
	if v == waiting {
		if who.settled == nil {
			who.settled = make(chan struct{})
		}
		settled = who.settled
	}
	return who.quota(c.Policy), v, settled
}

// remember adds a caller. Where there are maxCallers, one of a few is forgotten: the
// one with the fullest bucket, so that callers at their limit stay known.
func (l *Limiter) remember(c *callers, id string, now time.Duration) *caller {
	if len(c.known) >= maxCallers {
		var fullest *caller
		sample := evictionSample
		for _, other := range c.known { // begins at random
			if fullest == nil || other.levelAt(c.Policy, now) > fullest.levelAt(c.Policy, now) {
				fullest = other
			}
			if sample--; sample == 0 {
				break
			}
		}
		l.forget(fullest)
	}
	who := &caller{bucket: newBucket(c.Policy, now), policy: c, id: id}
	c.known[id] = who
	return who
}

// forget drops a caller and what is not settled.
func (l *Limiter) forget(who *caller) {
	delete(who.policy.known, who.id)
	delete(l.due, who)
}

// now is the time since the limiter was made.
func (l *Limiter) now() time.Duration { return l.config.Now().Sub(l.start) }

// enqueue has the caller settled soon.
func (l *Limiter) enqueue(who *caller) {
	if !who.queued {
		who.queued = true
		l.due[who] = struct{}{}
		l.loop.Wake()
	}
}

// settlement is what is charged to one caller: n unsettled tokens, or fewer.
type settlement struct {
	*caller
	n int
}

// settle charges the callers that are due. A failure leaves them due.
func (l *Limiter) settle(ctx context.Context) (again bool, err error) {
	l.forgetIdle()
	batch := l.takeDue()
	if len(batch) == 0 {
		return false, nil
	}
	charges := make([]charge, len(batch))
	for i, s := range batch {
		p := s.policy.Policy
		charges[i] = charge{key(p.Name, s.id), p.duration(float64(p.charge(s.n)))}
	}
	full, err := l.store.charge(ctx, charges, l.longest)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shared = err == nil
	for i, s := range batch {
		p := s.policy.Policy
		if err == nil {
			s.bucket.settle(p, now, s.n, float64(p.Burst)-p.refill(full[charges[i].key]))
			l.charged.WithLabelValues(p.Name).Add(float64(p.charge(s.n)))
		}
		s.queued = (err != nil || s.bucket.due(p, now)) && s.policy.known[s.id] == s.caller
		if s.queued {
			l.due[s.caller] = struct{}{}
		}
		if s.settled != nil {
			close(s.settled)
			s.settled = nil
		}
	}
	return len(l.due) > 0, err
}

// takeDue takes the callers of one statement out of those that are due.
func (l *Limiter) takeDue() []settlement {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]settlement, 0, min(len(l.due), settleBatch))
	for who := range l.due {
		if len(batch) == settleBatch {
			break
		}
		batch = append(batch, settlement{who, who.unsettled})
		delete(l.due, who)
	}
	return batch
}

// forgetIdle forgets the callers that are idle, every idleInterval.
func (l *Limiter) forgetIdle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now-l.forgot < idleInterval {
		return
	}
	l.forgot = now
	for _, c := range l.policies {
		for _, who := range c.known {
			if who.idle(c.Policy, now) && !who.queued {
				l.forget(who)
			}
		}
	}
}

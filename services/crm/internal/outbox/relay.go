package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// A batch starts no post after startWithin and each post ends within
// postTimeout, so that all of it is settled before the lease runs out and
// another replica may take it.
const (
	batchSize   = 64
	concurrency = 8
	lease       = 30 * time.Second
	startWithin = 15 * time.Second
	postTimeout = 10 * time.Second

	// patience is how many failed attempts an entry may have before later ones
	// about the same thing no longer wait for it.
	patience = 5

	settleTimeout = 5 * time.Second
	houseInterval = 15 * time.Second
	keepDone      = 7 * 24 * time.Hour
	purgeBatch    = 1000
)

// Config is what a relay needs; nothing is optional.
type Config struct {
	Queries  *crmdb.Queries // on the pool, not in a transaction
	Client   *notifyapi.Client
	Links    notice.Links
	Interval time.Duration // how often the outbox is swept without being woken
	Logger   *slog.Logger
	Registry prometheus.Registerer
}

// Relay posts the outbox to the notification service. Any number of relays may
// work on one database.
type Relay struct {
	queries  *crmdb.Queries
	client   notifyapi.Client
	links    notice.Links
	interval time.Duration
	log      *slog.Logger
	metrics  metrics
	wake     chan struct{}

	// Owned by the goroutine of runOnce.
	trials int    // bad batches in a row; 0 while all is well
	reason string // why the last batch was bad
}

// NewRelay makes a relay and registers its metrics. It works with a copy of the
// client that doesn't retry by itself and that keeps a connection for each
// concurrent post.
func NewRelay(c Config) *Relay {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = concurrency
	client := *c.Client
	client.Retries = 0
	client.HTTPClient = &http.Client{Transport: transport}
	return &Relay{
		queries: c.Queries, client: client, links: c.Links, interval: c.Interval,
		log: c.Logger, metrics: newMetrics(c.Registry), wake: make(chan struct{}, 1),
	}
}

// Wake makes the relay look at the outbox now. It never blocks; call it after
// the commit of what Add wrote.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx is canceled, then lets the posts that are on their way
// end, which takes no longer than 15 s, and returns nil.
func (r *Relay) Run(ctx context.Context) error {
	defer r.client.HTTPClient.CloseIdleConnections()
	var g errgroup.Group
	g.Go(func() error { r.relay(ctx); return nil })
	g.Go(func() error { r.keepHouse(ctx); return nil })
	return g.Wait()
}

// relay goes on at once while there is work, and waits for Wake or the
// interval when there is none. A pause is not cut short by Wake: the service
// is in trouble and each commit would try it again.
func (r *Relay) relay(ctx context.Context) {
	for ctx.Err() == nil {
		claimed, rest, err := r.runOnce(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "outbox relay failed", "error", err)
			rest = r.interval
		}
		wake := r.wake
		switch {
		case rest > 0:
			wake = nil
		case claimed > 0:
			continue
		default:
			rest = r.interval
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// runOnce claims a batch, posts it and settles it. It returns how many entries
// it claimed and how long to leave the service alone.
func (r *Relay) runOnce(ctx context.Context) (claimed int, rest time.Duration, err error) {
	size := batchSize
	if r.trials > 0 {
		size = 1
	}
	token, err := uuid.NewRandom()
	if err != nil {
		return 0, 0, fmt.Errorf("make a lease token: %w", err)
	}
	entries, err := r.queries.OutboxClaim(ctx, crmdb.OutboxClaimParams{
		Token: token, LeaseSeconds: lease.Seconds(), Patience: patience, Batch: int32(size),
	})
	if err != nil {
		return 0, 0, fmt.Errorf("claim outbox entries: %w", err)
	}
	if len(entries) == 0 {
		return 0, 0, nil
	}
	b := r.postAll(ctx, entries)
	rest = r.assess(ctx, b)
	return len(entries), rest, r.settle(ctx, token, b)
}

// assess keeps track of whether the service is in trouble and logs each change
// of that once.
func (r *Relay) assess(ctx context.Context, b *batch) time.Duration {
	trouble, good := b.trouble, b.count(posted)+b.count(repeated)+b.count(refused) > 0
	if trouble == nil && !good {
		trouble = b.firstFailure()
	}
	if trouble == nil {
		if r.trials > 0 && good {
			r.log.InfoContext(ctx, "notification service takes posts again", "pauses", r.trials)
			r.trials, r.reason = 0, ""
		}
		return 0
	}
	r.trials++
	if reason := troubleName(trouble.err); reason != r.reason {
		r.reason = reason
		r.log.WarnContext(ctx, "notification service takes no posts", "reason", reason, "error", errorText(trouble.err))
	}
	return pause(r.trials, r.interval, trouble.retryAfter)
}

// troubleName tells apart what an operator would do something different about.
func troubleName(err error) string {
	var answer *notifyapi.Error
	switch {
	case !errors.As(err, &answer):
		return "unreachable"
	case answer.Status == http.StatusTooManyRequests:
		return "rate limited"
	case answer.Status < http.StatusInternalServerError:
		return "misconfigured"
	}
	return "failing"
}

// keepHouse measures the outbox and deletes what was posted long ago.
func (r *Relay) keepHouse(ctx context.Context) {
	ticker := time.NewTicker(houseInterval)
	defer ticker.Stop()
	for {
		if err := errors.Join(r.measure(ctx), r.purge(ctx)); err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "outbox housekeeping failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *Relay) measure(ctx context.Context) error {
	s, err := r.queries.OutboxStatistics(ctx)
	if err != nil {
		return fmt.Errorf("measure the outbox: %w", err)
	}
	r.metrics.pending.Set(float64(s.Pending))
	r.metrics.dead.Set(float64(s.Dead))
	r.metrics.oldest.Set(s.OldestSeconds)
	return nil
}

func (r *Relay) purge(ctx context.Context) error {
	for {
		n, err := r.queries.OutboxPurge(ctx, crmdb.OutboxPurgeParams{KeepSeconds: keepDone.Seconds(), Batch: purgeBatch})
		if err != nil {
			return fmt.Errorf("purge the outbox: %w", err)
		}
		if n > 0 {
			r.log.InfoContext(ctx, "outbox purged", "entries", n)
		}
		if n < purgeBatch {
			return nil
		}
	}
}

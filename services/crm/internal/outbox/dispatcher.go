package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/background"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/tracing"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// A batch starts no post after startWithin and each post ends within
// postTimeout, so that all of it is settled before its lease expires.
const (
	batchSize   = 64
	concurrency = 8
	lease       = 30 * time.Second
	startWithin = 15 * time.Second
	postTimeout = 10 * time.Second

	// blockingAttempts is how many failed attempts an entry may have before later
	// ones with the same reference no longer wait for it.
	blockingAttempts = 5

	settleTimeout = 5 * time.Second
)

// Config has the dependencies and settings of a Dispatcher; all fields but Files and
// Tracing are required.
type Config struct {
	Pool     *pgxpool.Pool
	Client   *notifyapi.Client
	Links    notice.Links
	Files    Files         // nil means that mails have no files with them
	Interval time.Duration // between two reads of the outbox without a Wake
	Logger   *slog.Logger
	Registry prometheus.Registerer
	Metrics  *background.Metrics
	Tracing  *tracing.Tracing
}

// Dispatcher posts the entries of the outbox to the notification service. Any
// number of dispatchers may work on one database.
type Dispatcher struct {
	pool    *pgxpool.Pool
	queries *crmdb.Queries
	client  notifyapi.Client
	links   notice.Links
	files   Files
	slots   chan struct{} // one for each post with files that is under way
	linked  atomic.Bool   // files are linked without being read, see linkFor
	log     *slog.Logger
	metrics metrics
	loop    *background.Loop
	jobs    []*background.Loop

	// These are used only by the goroutine of runOnce.
	failures int   // bad batches in a row
	failure  error // of the last bad batch
}

// NewDispatcher makes a dispatcher and registers its metrics. It uses a copy of
// the client that doesn't retry and that keeps a connection for each concurrent
// post.
func NewDispatcher(c Config) *Dispatcher {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = concurrency
	client := *c.Client
	client.Retries = 0
	client.HTTPClient = &http.Client{Transport: c.Tracing.Transport(transport)}
	d := &Dispatcher{
		pool: c.Pool, queries: crmdb.New(c.Pool), client: client, links: c.Links, log: c.Logger,
		files: c.Files, slots: make(chan struct{}, maxWithFiles), metrics: newMetrics(c.Registry),
	}
	d.loop = background.New(background.Config{
		Name: "outbox dispatcher", Interval: c.Interval, RunOnce: d.run, Remote: true, Log: c.Logger, Metrics: c.Metrics,
	})
	d.jobs = []*background.Loop{d.loop, gaugeLoop(d, c.Metrics), purgeLoop(d, c.Metrics), erasureLoop(d, c.Metrics)}
	return d
}

// Wake makes the dispatcher read the outbox now. It never blocks; call it after
// the commit of what Add wrote.
func (d *Dispatcher) Wake() { d.loop.Wake() }

// Run dispatches until ctx is canceled, then waits for the posts under way,
// which takes no longer than 15 s, and returns nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer d.client.HTTPClient.CloseIdleConnections()
	var g errgroup.Group
	for _, job := range d.jobs {
		g.Go(func() error { return job.Run(ctx) })
	}
	return g.Wait()
}

// run is one run of the loop. When the service fails, its error has a pause, which
// Wake doesn't end.
func (d *Dispatcher) run(ctx context.Context) (again bool, err error) {
	claimed, pause, err := d.runOnce(ctx)
	if err != nil {
		return false, err
	}
	if pause > 0 {
		return false, background.RetryAfter(d.failure, pause)
	}
	return claimed > 0, nil
}

// runOnce claims a batch, posts it and settles it. It returns how many entries it
// claimed and the pause before the next batch. After a failure it claims only one
// entry, until a post succeeds.
func (d *Dispatcher) runOnce(ctx context.Context) (claimed int, pause time.Duration, err error) {
	size := batchSize
	if d.failures > 0 {
		size = 1
	}
	if err := d.readSecret(ctx); err != nil {
		return 0, 0, err
	}
	token, err := uuid.NewRandom()
	if err != nil {
		return 0, 0, fmt.Errorf("make a lease token: %w", err)
	}
	entries, err := d.queries.OutboxClaim(ctx, crmdb.OutboxClaimParams{
		Token: token, LeaseSeconds: lease.Seconds(), Patience: blockingAttempts, Batch: int32(size),
	})
	if err != nil {
		return 0, 0, fmt.Errorf("claim outbox entries: %w", err)
	}
	if len(entries) == 0 {
		if d.failures > 0 { // no post has succeeded since the failure
			pause = servicePause(1, d.loop.Interval, 0)
		}
		return 0, pause, nil
	}
	b := d.postAll(ctx, entries)
	pause = d.assess(b)
	return len(entries), pause, d.settle(ctx, token, b)
}

// readSecret reads the key of the links for unsubscribing, once.
func (d *Dispatcher) readSecret(ctx context.Context) (err error) {
	if d.links.Secret != nil {
		return nil
	}
	if d.links.Secret, err = d.queries.SecretGet(ctx, notice.UnsubscribeSecret); err != nil {
		return fmt.Errorf("read the secret for unsubscribing: %w", err)
	}
	return nil
}

// assess decides from a batch whether the notification service fails, and returns
// the pause before the next batch.
func (d *Dispatcher) assess(b *batch) (pause time.Duration) {
	failed, answered := b.serviceFailure, b.count(outcomePosted)+b.count(outcomeRepeated)+b.count(outcomeRefused) > 0
	if failed == nil && !answered {
		failed = b.firstFailure()
	}
	if failed == nil {
		if answered {
			d.failures, d.failure = 0, nil
		}
		return 0
	}
	d.failures++
	d.failure = fmt.Errorf("notification service %s: %s", failureReason(failed.err), errorText(failed.err))
	return servicePause(d.failures, d.loop.Interval, failed.retryAfter)
}

// failureReason distinguishes failures that an operator handles differently.
func failureReason(err error) string {
	var answer *notifyapi.Error
	switch {
	case !errors.As(err, &answer):
		return "unreachable"
	case answer.Status == http.StatusTooManyRequests:
		return "limits the rate"
	case answer.Status < http.StatusInternalServerError:
		return "refuses the configuration"
	}
	return "fails"
}

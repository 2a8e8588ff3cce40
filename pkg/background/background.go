// Package background runs the work of a service that no request waits for:
// dispatchers, backlog jobs, purges. A Loop calls one function again and again
// and takes care of what all of them need: interval and wake-up, jitter, time
// limit, recovery from panics, one replica at a time, log and metrics.
//
// It must not know PostgreSQL, HTTP or any package of a service.
package background

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"fixdesk/pkg/obs"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	retryBase = time.Second
	retryCap  = time.Minute
	// togetherWithin is the time within which services that are stopped together stop.
	togetherWithin = time.Second
)

// Config describes one loop. Name, Interval, RunOnce and Log are required.
type Config struct {
	// Name is the label task of the metrics and the attribute job of the log,
	// for example "outbox purge".
	Name string
	// Interval is the pause between a run that found no more work and the next
	// one, unless Wake ends it.
	Interval time.Duration
	// Jitter is the most that is added to each Interval, at random, and waited
	// before the first run, so that replicas started together don't run together.
	Jitter time.Duration
	// MinInterval is the pause after a successful run that neither Wake nor
	// remaining work ends; 0 is none.
	MinInterval time.Duration
	// Timeout limits one run by its context; 0 is no limit.
	Timeout time.Duration
	// RunOnce does one batch. again means that more work is waiting: the next
	// run follows at once. It may return an error made by RetryAfter.
	RunOnce func(ctx context.Context) (again bool, err error)
	// Exclusive, when set, calls run unless another replica is running the job of
	// this Name, and reports whether it called it. See pg.Exclusive.
	Exclusive func(ctx context.Context, job string, run func(context.Context) error) (ran bool, err error)
	// Log receives one line when the job begins to fail and one when it works
	// again.
	Log *slog.Logger
	// Metrics are the process's; nil measures nothing.
	Metrics *Metrics
	// Remote says that RunOnce uses other servers than Metrics.Database, so that not
	// each lost connection is that to the database.
	Remote bool
}

// All is the RunOnce of a job whose every run does all the work that there is.
func All(run func(context.Context) error) func(context.Context) (again bool, err error) {
	return func(ctx context.Context) (bool, error) { return false, run(ctx) }
}

// Loop is one job that runs in the background. Make it with New.
type Loop struct {
	Config
	wake     chan struct{}
	failures int // in a row; owned by Run
	reporter *Reporter
}

// New makes a loop; it starts with Run.
func New(c Config) *Loop {
	l := &Loop{Config: c, wake: make(chan struct{}, 1), reporter: &Reporter{Job: c.Name, Log: c.Log, Metrics: c.Metrics, Remote: c.Remote}}
	if c.Metrics != nil {
		c.Metrics.Declare(c.Name, c.Interval)
	}
	return l
}

// Wake makes the loop run now, or once more if it is running. It never blocks.
// It doesn't end a pause after a failure.
func (l *Loop) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run calls RunOnce until ctx ends, first at once (within Jitter), and returns
// nil. After a failure it pauses 1 s, doubling with each further one up to
// Interval or 1 minute, whichever is shorter, or as long as RetryAfter says.
// The context of a running RunOnce ends with ctx: work that must finish
// detaches itself with context.WithoutCancel and a limit of its own.
func (l *Loop) Run(ctx context.Context) error {
	pause(ctx, upTo(l.Jitter), nil)
	for ctx.Err() == nil {
		again, err := l.runOnce(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			l.failures++
			l.failed(ctx, err)
			continue
		}
		l.failures = 0
		l.reporter.Report(ctx, nil)
		pause(ctx, l.MinInterval, nil)
		if !again {
			pause(ctx, l.Interval-l.MinInterval+upTo(l.Jitter), l.wake)
		}
	}
	return nil
}

// failed reports a failure and pauses. One of a remote job that the stop follows is not
// reported: the other server may be stopping at the same time.
func (l *Loop) failed(ctx context.Context, err error) {
	d := l.retryPause(err)
	if l.Remote {
		early := min(d, togetherWithin)
		pause(ctx, early, nil)
		d -= early
	}
	if ctx.Err() == nil {
		l.reporter.Report(ctx, err)
		pause(ctx, d, nil)
	}
}

// runOnce runs the job once, unless another replica does.
func (l *Loop) runOnce(ctx context.Context) (again bool, err error) {
	if l.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Timeout)
		defer cancel()
	}
	run := func(ctx context.Context) error {
		return l.Metrics.Observe(ctx, l.Name, func(ctx context.Context) (err error) {
			again, err = l.RunOnce(ctx)
			return err
		})
	}
	if l.Exclusive == nil {
		err = run(ctx)
	} else {
		var ran bool
		if ran, err = l.Exclusive(ctx, l.Name, run); err != nil && !ran {
			l.Metrics.failed(ctx, l.Name)
		}
	}
	return again, err
}

func (l *Loop) retryPause(err error) time.Duration {
	if r := (*retryAfterError)(nil); errors.As(err, &r) {
		return r.after
	}
	d := min(retryCap, l.Interval)
	if shift := l.failures - 1; shift < 10 {
		d = min(d, retryBase<<shift)
	}
	return d + upTo(l.Jitter)
}

// RetryAfter wraps err so that the loop pauses for d instead of the time that
// it would choose by itself.
func RetryAfter(err error, d time.Duration) error { return &retryAfterError{err, d} }

type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprint("panic: ", e.value) }

func upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// pause returns after d, when wake receives, or when ctx ends.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// Metrics are the metrics of all loops of a process.
type Metrics struct {
	lastSuccess *prometheus.GaugeVec
	interval    *prometheus.GaugeVec
	failures    *prometheus.CounterVec
	duration    *prometheus.HistogramVec

	// Database is what the jobs have in common; nil without anything.
	Database *Dependency
}

// NewMetrics registers background_last_success_timestamp_seconds{task},
// background_interval_seconds{task}, background_failures_total{task} and
// background_duration_seconds{task}; once for each registry.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "background_last_success_timestamp_seconds",
			Help: "When this replica last ran the job without an error, as Unix time; 0 before that. " +
				"For a job that runs on one replica at a time, the largest value over all replicas counts.",
		}, []string{"task"}),
		interval: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "background_interval_seconds",
			Help: "The longest pause between two runs of the job that succeed, without its jitter.",
		}, []string{"task"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "background_failures_total",
			Help: "Runs of the job on this replica that ended with an error.",
		}, []string{"task"}),
		duration: prometheus.NewHistogramVec(obs.Histogram(prometheus.HistogramOpts{
			Name:    "background_duration_seconds",
			Help:    "How long the runs of the job took, failed ones included.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 15, 60, 300},
		}), []string{"task"}),
	}
	r.MustRegister(m.lastSuccess, m.interval, m.failures, m.duration)
	return m
}

// Declare exports the metrics of a job before its first run. New calls it; a job that
// another scheduler starts declares itself.
func (m *Metrics) Declare(job string, interval time.Duration) {
	if m == nil {
		return
	}
	m.interval.WithLabelValues(job).Set(interval.Seconds())
	m.lastSuccess.WithLabelValues(job)
	m.failures.WithLabelValues(job)
	m.duration.WithLabelValues(job)
}

// Observe measures one run of a job and turns its panic into an error. Loop
// calls it; a job that another scheduler starts calls it by itself. A nil
// Metrics measures nothing.
func (m *Metrics) Observe(ctx context.Context, job string, run func(context.Context) error) (err error) {
	if m != nil {
		timer := prometheus.NewTimer(m.duration.WithLabelValues(job))
		defer func() {
			timer.ObserveDuration()
			if err == nil {
				m.lastSuccess.WithLabelValues(job).SetToCurrentTime()
			} else {
				m.failed(ctx, job)
			}
		}()
	}
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return run(ctx)
}

// failed counts a run that ended with an error, unless the stop ended it.
func (m *Metrics) failed(ctx context.Context, job string) {
	if m != nil && !errors.Is(ctx.Err(), context.Canceled) {
		m.failures.WithLabelValues(job).Inc()
	}
}

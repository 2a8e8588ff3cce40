package eventstream

import (
	"context"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/background"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

const (
	// readInterval is how often the database is read without a wake-up while a
	// stream is open, for the commits of other replicas.
	readInterval = 250 * time.Millisecond
	// readGap is the least time between two reads under many commits. Events
	// within it are sent together, in one write to each stream.
	readGap = 100 * time.Millisecond
	// sequenceInterval is how often the sequencer runs without a wake-up, for
	// events of a killed replica or an earlier release.
	sequenceInterval = 500 * time.Millisecond
	// sequenceGap is the least time between two batches while no stream is open.
	sequenceGap = 10 * time.Millisecond
	jobTimeout  = 5 * time.Second

	// catchUps is how many streams read missed events from the database at the
	// same time, so that requests have connections left; the others wait.
	catchUps = 4

	// lagUnknown is the age of a measurement beyond which the lag is unknown.
	lagUnknown = 30 * time.Second
)

// Config has the dependencies of a Service; all fields are required.
type Config struct {
	Pool *pgxpool.Pool
	Now  func() time.Time
	// Check reports whether the caller who opened a stream may still read it.
	Check    func(context.Context, identity.Principal) error
	Log      *slog.Logger
	Registry prometheus.Registerer
	Jobs     *background.Metrics
}

// Service sends each change of a ticket to the streams of this replica. One loop
// assigns positions to events, another reads new events from the database, once
// for all streams. A stream that is behind reads the events that it missed itself.
type Service struct {
	Config
	store     store
	sequencer *background.Loop
	reader    *background.Loop
	window    atomic.Pointer[window]
	streams   openStreams
	slots     chan struct{} // limits catchUp
	timing    timing
	stale     bool // used only by the reader: no stream was open and the window is old
	lag       atomic.Pointer[lag]
}

// lag is the last measurement of the sequencer.
type lag struct {
	at     time.Time
	oldest time.Time // event without a position; zero for none
}

// NewService makes the service and registers its metrics.
func NewService(c Config) *Service {
	s := &Service{
		Config: c, store: store{c.Pool}, slots: make(chan struct{}, catchUps),
		streams: openStreams{byAccount: map[uuid.UUID]int{}}, timing: defaultTiming, stale: true,
	}
	s.window.Store(newWindow(0))
	s.sequencer = background.New(background.Config{
		Name: "event sequencer", Interval: sequenceInterval, MinInterval: sequenceGap, Timeout: jobTimeout,
		RunOnce: s.sequence, Log: c.Log, Metrics: c.Jobs,
	})
	s.reader = background.New(background.Config{
		Name: "event stream", Interval: readInterval, MinInterval: readGap, Timeout: jobTimeout,
		RunOnce: s.read, Log: c.Log, Metrics: c.Jobs,
	})
	c.Registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "event_streams_open",
			Help: "Event streams that are open on this replica.",
		}, func() float64 { return float64(s.streams.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "event_stream_lag_seconds",
			Help: "Age of the oldest event that has no position in the event stream yet, 0 when there is none, NaN when it is unknown. It is the same for all replicas: take the maximum, not the sum.",
		}, s.lagSeconds),
	)
	return s
}

// Wake starts the sequencing of new events now. It never blocks; call it after a
// commit.
func (s *Service) Wake() { s.sequencer.Wake() }

// Latest is the id of the last event: a stream that begins after it sends all that
// happens from now on.
func (s *Service) Latest(ctx context.Context) (EventID, error) {
	at, err := s.store.latest(ctx)
	return EventID{Number: at}, err
}

// Run assigns positions and reads new events until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var jobs errgroup.Group
	jobs.Go(func() error { return s.sequencer.Run(ctx) })
	jobs.Go(func() error { return s.reader.Run(ctx) })
	return jobs.Wait()
}

// sequence assigns positions to one batch of events, and wakes the reader.
func (s *Service) sequence(ctx context.Context) (again bool, err error) {
	oldest, err := s.store.oldestWaiting(ctx)
	if err != nil {
		return false, err
	}
	s.lag.Store(&lag{at: s.Now(), oldest: oldest})
	if oldest.IsZero() {
		return false, nil
	}
	again, err = s.store.sequence(ctx)
	if err != nil {
		return false, err
	}
	if !again {
		s.lag.Store(&lag{at: s.Now()})
	}
	s.reader.Wake()
	return again, nil
}

func (s *Service) lagSeconds() float64 {
	l := s.lag.Load()
	now := s.Now()
	switch {
	case l == nil || now.Sub(l.at) > lagUnknown:
		return math.NaN()
	case l.oldest.IsZero():
		return 0
	}
	return max(0, now.Sub(l.oldest).Seconds())
}

// read extends the window to the latest event. After a time without streams it
// starts a new window, since each stream reads the events before it itself.
func (s *Service) read(ctx context.Context) (again bool, err error) {
	if s.streams.count() == 0 {
		s.stale = true
		return false, nil
	}
	if s.stale {
		latest, err := s.store.latest(ctx)
		if err != nil {
			return false, err
		}
		s.publish(newWindow(latest))
		s.stale = false
	}
	for {
		w := s.window.Load()
		events, err := s.store.page(ctx, w.to)
		if err != nil {
			return false, err
		}
		s.publish(w.extended(events))
		if len(events) < pageSize {
			return false, nil
		}
	}
}

func (s *Service) publish(w *window) {
	if old := s.window.Swap(w); old != w {
		close(old.next)
	}
}

// catchUp reads a page of the events that a viewer missed, and the position up to
// which it is complete.
func (s *Service) catchUp(ctx context.Context, v ticket.Viewer, after Position) ([]*event, Position, error) {
	select {
	case <-ctx.Done():
		return nil, after, ctx.Err()
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	}
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	return s.store.pageFor(ctx, v, after)
}

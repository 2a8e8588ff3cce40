package httpapi

import (
	"container/list"
	"context"
	"sync"
	"time"

	"fixdesk/pkg/errs"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultRequestTimeout = 10 * time.Second
	defaultMaxRequests    = 64

	// admissionWait bounds how long a new request waits to be served. The number
	// of waiting requests is not bounded: one costs hardly more than its open
	// connection, and waiting slows down clients that repeat a refused request at
	// once.
	admissionWait = 500 * time.Millisecond
)

var errOverloaded = errs.New(errs.Unavailable, errs.CodeUnavailable, "The service is busy. Try again soon.")

// admission bounds how many requests to operations are served at the same
// time. Of the others those go first that were served before and gave their slot back
// while their body came; new ones wait in the order of their arrival. Probes, metrics
// and documentation are outside it.
type admission struct {
	most     int
	rejected prometheus.Counter

	mu             sync.Mutex
	held           int
	again, arrived list.List // of chan struct{}, closed when the slot is theirs
}

func newAdmission(maxRequests int, registry *prometheus.Registry) *admission {
	a := &admission{
		most: maxRequests,
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_rejected_total",
			Help: "Requests answered 503 because too many others were being served.",
		}),
	}
	registry.MustRegister(a.rejected, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "http_requests_in_progress",
		Help: "Requests to operations being served, streams aside.",
	}, func() float64 { return float64(a.inProgress()) }))
	return a
}

func (a *admission) inProgress() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// isFull reports whether a new request would have to wait.
func (a *admission) isFull() bool { return a.inProgress() >= a.most }

// enter takes a slot, or a place in a queue when there is none.
func (a *admission) enter(queue *list.List) (place *list.Element) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held < a.most {
		a.held++
		return nil
	}
	return queue.PushBack(make(chan struct{}))
}

// leave gives up a place. It reports false when the slot has come meanwhile.
func (a *admission) leave(queue *list.List, place *list.Element) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-place.Value.(chan struct{}):
		return false
	default:
		queue.Remove(place)
		return true
	}
}

// pass gives a slot to the next request that waits.
func (a *admission) pass() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, queue := range []*list.List{&a.again, &a.arrived} {
		if next := queue.Front(); next != nil {
			close(queue.Remove(next).(chan struct{}))
			return
		}
	}
	a.held--
}

// slot is one request's share of the admission.
type slot struct {
	admission *admission
	held      bool
}

// acquire waits for a free slot: at most admissionWait when the request is new,
// and else until ctx ends, so that what was done for it is not wasted.
func (s *slot) acquire(ctx context.Context, isNew bool) error {
	queue, timeout := &s.admission.again, (<-chan time.Time)(nil)
	if isNew {
		queue = &s.admission.arrived
	}
	place := s.admission.enter(queue)
	if place == nil {
		s.held = true
		return nil
	}
	if isNew {
		timer := time.NewTimer(admissionWait)
		defer timer.Stop()
		timeout = timer.C
	}
	var err error
	select {
	case <-place.Value.(chan struct{}):
	case <-timeout:
		err = errOverloaded
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil || !s.admission.leave(queue, place) {
		s.held = true
		return nil
	}
	if err == errOverloaded { //nolint:errorlint // the very value
		s.admission.rejected.Inc()
	}
	return err
}

// release frees the slot if it is held.
func (s *slot) release() {
	if s.held {
		s.held = false
		s.admission.pass()
	}
}

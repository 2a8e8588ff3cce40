package httpapi

import (
	"context"
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
// time; the others wait in the order of their arrival. Probes, metrics and
// documentation are outside it.
type admission struct {
	slots    chan struct{}
	rejected prometheus.Counter
}

func newAdmission(maxRequests int, registry *prometheus.Registry) *admission {
	a := &admission{
		slots: make(chan struct{}, maxRequests),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_rejected_total",
			Help: "Requests answered 503 because too many others were being served.",
		}),
	}
	registry.MustRegister(a.rejected, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "http_requests_in_progress",
		Help: "Requests to operations being served, streams aside.",
	}, func() float64 { return float64(len(a.slots)) }))
	return a
}

// slot is one request's share of the admission.
type slot struct {
	admission *admission
	held      bool
}

// acquire waits for a free slot: at most admissionWait when the request is new,
// and else until ctx ends, so that what was done for it is not wasted.
func (s *slot) acquire(ctx context.Context, isNew bool) error {
	select {
	case s.admission.slots <- struct{}{}:
		s.held = true
		return nil
	default:
	}
	var timeout <-chan time.Time
	if isNew {
		timer := time.NewTimer(admissionWait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case s.admission.slots <- struct{}{}:
		s.held = true
		return nil
	case <-timeout:
		s.admission.rejected.Inc()
		return errOverloaded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// release frees the slot if it is held.
func (s *slot) release() {
	if s.held {
		s.held = false
		<-s.admission.slots
	}
}

package obs

import (
	"sync"
	"sync/atomic"
	"time"
)

// Outage is a row of failures of something that is used again and again, so that a log
// can have one line when it begins and one when it ends. The zero value is ready for
// use; it is safe for concurrent use.
type Outage struct {
	// Quiet is the least time since the last failure after which a success ends the
	// outage; with 0 any does. It needs Now.
	Quiet time.Duration
	Now   func() time.Time

	active   atomic.Bool
	mu       sync.Mutex
	failing  map[string]struct{} // the users that have not succeeded since they failed
	failures int
	last     time.Time
}

// Failed counts a failure that the named user met, and reports whether it began the
// outage. Where users don't matter all have the same name.
func (o *Outage) Failed(user string) (began bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing == nil {
		o.failing = map[string]struct{}{}
	}
	o.failing[user] = struct{}{}
	o.failures++
	if o.Now != nil {
		o.last = o.Now()
	}
	return o.active.CompareAndSwap(false, true)
}

// Active reports whether there is an outage.
func (o *Outage) Active() bool { return o.active.Load() }

// Succeeded notes a success of the named user. The outage ends with that of the last
// user that had failed, no earlier than Quiet after the last failure. Then it returns
// how many failures there were, otherwise 0. Without an outage it costs one atomic read.
func (o *Outage) Succeeded(user string) (failures int) {
	if !o.active.Load() {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.Quiet > 0 && o.Now().Sub(o.last) < o.Quiet {
		return 0
	}
	delete(o.failing, user)
	if len(o.failing) > 0 {
		return 0
	}
	failures, o.failures = o.failures, 0
	o.active.Store(false)
	return failures
}

package httpapi

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// outageCause is a class of causes for which requests are answered 503.
type outageCause int

const (
	dependencyAway  outageCause = iota // Config.Unavailable recognises the error
	deadlineReached                    // of the request
	handlerRefused                     // a handler returned errs.Unavailable
	notReady                           // Config.Ready returned an error
	outageCauses                       // how many there are
)

// outagePause is the least time without a failure after which an outage is over,
// so that failures among successes are one outage.
const outagePause = 5 * time.Second

// outages logs the first failure of an outage and its end, for each cause;
// http_requests_total counts every one.
type outages struct {
	log    *slog.Logger
	now    func() time.Time
	active atomic.Int32 // causes with an outage

	mu     sync.Mutex
	causes [outageCauses]struct {
		failures int // 0 without an outage
		last     time.Time
	}
}

// failed records a failure and logs it if it begins an outage.
func (o *outages) failed(ctx context.Context, cause outageCause, msg string, err error) {
	o.mu.Lock()
	c := &o.causes[cause]
	c.failures++
	c.last = o.now()
	first := c.failures == 1
	if first {
		o.active.Add(1)
	}
	o.mu.Unlock()
	if first {
		logError(ctx, o.log, slog.LevelWarn, msg, err)
	}
}

// succeeded ends the outages of causes below limit whose last failure is
// outagePause ago, and logs that.
func (o *outages) succeeded(ctx context.Context, limit outageCause) {
	if o.active.Load() == 0 {
		return
	}
	failures := 0
	o.mu.Lock()
	for i := range limit {
		c := &o.causes[i]
		if c.failures > 0 && o.now().Sub(c.last) >= outagePause {
			failures += c.failures
			c.failures = 0
			o.active.Add(-1)
		}
	}
	o.mu.Unlock()
	if failures > 0 {
		o.log.InfoContext(ctx, "available again", "failures", failures)
	}
}

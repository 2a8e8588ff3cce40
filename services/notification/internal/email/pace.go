package email

import (
	"context"
	"sync"
	"time"
)

// pace limits the rate of mails to what a server takes without throttling, by
// additive increase and multiplicative decrease as in congestion avoidance
// (RFC 5681). Without throttling there is no limit.
type pace struct {
	step time.Duration // the interval between two increases
	// onChange, if set, is called when a limit begins and when it ends.
	onChange func(limited bool)

	mu        sync.Mutex
	limit     float64   // mails in a step; 0: none
	ceiling   float64   // the rate at which the server throttled last
	peak      float64   // the rate before the first throttling
	cutAt     time.Time // of the latest decrease
	raisedAt  time.Time // of the latest increase
	next      time.Time // when the next mail may begin
	throttled map[string]time.Time
	replies   int64 // throttling replies so far

	counted      int       // mails begun since countedSince
	countedSince time.Time // the step that is being counted
	rate         float64   // mails in the step before
}

const (
	slowest        = 0.2  // mails in a step, at least
	increases      = 20   // increases from half of the ceiling to the ceiling take half as many steps
	growth         = 1.25 // beyond the ceiling the limit grows by this factor
	throttleWindow = 60   // steps for which a throttled recipient is remembered
)

// wait waits until a mail may begin, and returns when the wait began. It returns
// false when ctx ends first.
func (p *pace) wait(ctx context.Context, now func() time.Time) (asked time.Time, ok bool) {
	asked = now()
	pause := p.reserve(asked)
	if pause <= 0 {
		return asked, ctx.Err() == nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return asked, true
	case <-ctx.Done():
		return asked, false
	}
}

func (p *pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(now)
	p.raise(now)
	if p.limit == 0 {
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	pause := p.next.Sub(now)
	p.next = p.next.Add(time.Duration(float64(p.step) / p.limit))
	return pause
}

// count measures the rate.
func (p *pace) count(now time.Time) {
	if passed := now.Sub(p.countedSince); passed >= p.step {
		p.rate = float64(p.counted) * float64(p.step) / float64(passed)
		p.counted, p.countedSince = 0, now
	}
	p.counted++
}

// raise increases the limit by the steps that passed since, and lifts it once
// it exceeds what was sent before the first throttling.
func (p *pace) raise(now time.Time) {
	for p.limit > 0 && now.Sub(p.raisedAt) >= p.step {
		p.raisedAt = p.raisedAt.Add(p.step)
		if p.limit < p.ceiling {
			p.limit += p.ceiling / increases
		} else {
			p.limit *= growth
		}
		if p.limit > 2*p.peak {
			p.limit = 0
			p.changed(false)
		}
	}
}

func (p *pace) changed(limited bool) {
	if p.onChange != nil {
		p.onChange(limited)
	}
}

// throttle records a throttling reply to a mail for recipient whose wait began at
// asked. It reports whether the reply concerns only that recipient: it was
// throttled before and others are not. A reply before RCPT (early) never does.
// The rate decreases once several different recipients were throttled, and then
// with each further one, but only once for mails that began before the last
// decrease.
func (p *pace) throttle(now, asked time.Time, recipient string, early bool) (own bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raise(now)
	p.replies++
	if p.throttled == nil {
		p.throttled = map[string]time.Time{}
	}
	for r, at := range p.throttled {
		if now.Sub(at) > throttleWindow*p.step {
			delete(p.throttled, r)
		}
	}
	_, repeated := p.throttled[recipient]
	p.throttled[recipient] = now
	limited := p.limit > 0
	switch {
	case !early && !limited && len(p.throttled) < recipientsToOpen:
		return repeated
	case !early && limited && repeated, limited && !asked.After(p.cutAt):
		return false
	}
	p.cut(now)
	return false
}

// cut halves the rate.
func (p *pace) cut(now time.Time) {
	current := max(p.rate, float64(p.counted))
	if p.limit == 0 {
		p.peak = max(current, 1)
		p.changed(true)
	} else {
		current = min(current, p.limit)
	}
	p.ceiling = max(current, slowest)
	p.limit = max(current/2, slowest)
	p.cutAt, p.raisedAt = now, now
	p.next = now.Add(time.Duration(float64(p.step) / p.limit))
}

// within is how many mails may begin in d, or -1 without a limit.
func (p *pace) within(now time.Time, d time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raise(now)
	if p.limit == 0 {
		return -1
	}
	return int(p.limit * float64(d) / float64(p.step))
}

// status adds the state of the pace to s.
func (p *pace) status(s *ServerStatus, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raise(now)
	s.Throttled, s.RateLimit = p.replies, p.limit*float64(time.Second)/float64(p.step)
}

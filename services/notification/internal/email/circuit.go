package email

import (
	"math/rand/v2"
	"sync"
	"time"
)

// circuit is the circuit breaker of a server. While it is open nothing is sent
// to the server; after a pause one mail probes it, and the outcome closes the
// circuit or keeps it open.
//
// sony/gobreaker v2.4.0 is weaker here: it counts failures and not the
// recipients that had them, and its pause neither grows nor varies.
type circuit struct {
	base, cap time.Duration // the first and the longest time it stays open

	mu       sync.Mutex
	open     bool
	probing  bool
	failures int             // times that it opened in a row
	suspects map[string]bool // recipients since the last success with a failure that the server may have caused
	until    time.Time
	since    time.Time
	reason   string
}

// recipientsToOpen is how many different recipients in a row must have a failure
// that may be their own before it counts as the server's.
const recipientsToOpen = 3

// permit allows one conversation with a server. Its end is reported by success,
// serverTrouble or recipientTrouble; release ends it without a report.
type permit struct {
	c     *circuit
	probe bool
	done  bool
}

// allow returns a permit, or false while the circuit is open.
func (c *circuit) allow(now time.Time) (*permit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return &permit{c: c}, true
	}
	if c.probing || now.Before(c.until) {
		return nil, false
	}
	c.probing = true
	return &permit{c: c, probe: true}, true
}

// success closes the circuit: the server works. It reports whether it was open.
func (p *permit) success() (closed bool) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.done = true
	clear(p.c.suspects)
	if p.c.open && !p.probe {
		return false // a conversation that began before the trouble
	}
	closed = p.c.open
	p.c.open, p.c.probing, p.c.failures = false, false, 0
	return closed
}

// serverTrouble opens the circuit, or keeps it open for longer. It reports
// whether it was closed.
func (p *permit) serverTrouble(now time.Time, reason string) bool {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.done = true
	return p.c.openLocked(now, reason, p.probe)
}

// recipientTrouble is reported by a conversation whose failure may be the
// recipient's or the server's. It opens the circuit when several different
// recipients had such a failure, and keeps it open when the conversation was a
// probe. It reports whether that opened it.
func (p *permit) recipientTrouble(now time.Time, recipient, reason string) bool {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.done = true
	if p.c.suspects == nil {
		p.c.suspects = map[string]bool{}
	}
	p.c.suspects[recipient] = true
	if p.probe || len(p.c.suspects) >= recipientsToOpen {
		return p.c.openLocked(now, reason, p.probe)
	}
	return false
}

// release returns the permit when nothing was reported.
func (p *permit) release() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.probe && !p.done {
		p.c.probing = false
	}
	p.done = true
}

func (c *circuit) openLocked(now time.Time, reason string, probe bool) bool {
	if c.open && !probe {
		return false // another conversation has opened it
	}
	opened := !c.open
	if opened {
		c.since = now
	}
	wait := min(c.base<<min(c.failures, 20), c.cap)
	c.failures++
	c.open, c.probing, c.reason = true, false, reason
	clear(c.suspects)
	c.until = now.Add(wait/2 + rand.N(wait/2+1))
	return opened
}

// usableAt is the earliest time at which allow may return a permit: the zero
// time for at once.
func (c *circuit) usableAt(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return time.Time{}
	case c.probing: // the probe decides
		return now.Add(c.base)
	}
	return c.until
}

// status adds the state of the circuit to s.
func (c *circuit) status(s *ServerStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open {
		s.Open, s.Reason, s.Since, s.RetryAt = true, c.reason, c.since, c.until
	}
}

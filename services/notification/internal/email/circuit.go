package email

import (
	"math/rand/v2"
	"sync"
	"time"
)

// circuit keeps mails away from a server in trouble. While it is open nothing
// is sent there; after a while one mail is let through, whose end decides.
type circuit struct {
	base, cap time.Duration // the first and the longest time it stays open

	mu       sync.Mutex
	open     bool
	probing  bool
	failures int // in a row, each after a wait
	breaks   int // conversations in a row that broke off
	until    time.Time
	since    time.Time
	reason   string
}

// breaksToOpen is how many conversations in a row may break off before the
// server, rather than the recipients, is held responsible.
const breaksToOpen = 5

// permit is the leave to talk to a server once; exactly one of its methods is
// called at the end.
type permit struct {
	c     *circuit
	probe bool
}

// allow gives leave to talk now, or not.
func (c *circuit) allow(now time.Time) (permit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return permit{c: c}, true
	}
	if c.probing || now.Before(c.until) {
		return permit{}, false
	}
	c.probing = true
	return permit{c: c, probe: true}, true
}

// success closes the circuit: the server works.
func (p permit) success() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.breaks = 0
	if p.c.open && !p.probe {
		return // an old conversation says nothing about now
	}
	p.c.open, p.c.probing, p.c.failures = false, false, 0
}

// trouble opens the circuit, or keeps it open for longer.
func (p permit) trouble(now time.Time, reason string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.openLocked(now, reason, p.probe)
}

// broke reports a conversation that broke off: one may be the recipient's
// fault, many in a row are not.
func (p permit) broke(now time.Time, reason string) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.breaks++
	if p.probe || p.c.breaks >= breaksToOpen {
		p.c.openLocked(now, reason, p.probe)
	}
}

// unused gives the leave back.
func (p permit) unused() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.probe {
		p.c.probing = false
	}
}

func (c *circuit) openLocked(now time.Time, reason string, probe bool) {
	if c.open && !probe {
		return // one trouble, seen by several conversations
	}
	if !c.open {
		c.since = now
	}
	wait := min(c.base<<min(c.failures, 20), c.cap)
	c.failures++
	c.open, c.probing, c.breaks, c.reason = true, false, 0, reason
	c.until = now.Add(wait/2 + rand.N(wait/2+1))
}

// ServerStatus is what an operator sees of one mail server.
type ServerStatus struct {
	Server  string    `json:"server"`
	Open    bool      `json:"circuit_open"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	RetryAt time.Time `json:"retry_at,omitzero"`
}

func (c *circuit) status(server string) ServerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open {
		return ServerStatus{Server: server}
	}
	return ServerStatus{Server: server, Open: true, Reason: c.reason, Since: c.since, RetryAt: c.until}
}

// usableAt is when allow may say yes: the zero time for at once.
func (c *circuit) usableAt(now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return time.Time{}
	case c.probing: // its probe decides
		return now.Add(c.base)
	}
	return c.until
}

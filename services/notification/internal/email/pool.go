package email

import (
	"context"
	"time"
)

// Config configures a Pool.
type Config struct {
	Sender   Sender
	Servers  []Server // by priority, at least one
	HELO     string   // the name given in EHLO
	Timeouts Timeouts
	// StopTimeout is how long a conversation may continue once the context of its
	// Send has ended.
	StopTimeout time.Duration
	// MessagesPerConnection is how many mails one connection carries.
	MessagesPerConnection int
	// IdleTime is how long an unused connection is kept.
	IdleTime time.Duration
	// CircuitBase and CircuitCap are the first and the longest pause after
	// server trouble.
	CircuitBase, CircuitCap time.Duration
	// PaceStep is the interval at which the pace of a server that throttled is
	// raised again.
	PaceStep time.Duration
	Now      func() time.Time
	// OnTrouble, if set, is called when a server's circuit opens, and OnRecovery when
	// it closes after a probe.
	OnTrouble  func(server, reason string)
	OnRecovery func(server string)
	// OnThrottle, if set, is called when the rate to a server begins to be
	// limited, and when the limit ends.
	OnThrottle func(server string, limited bool)
}

// Pool sends mails over connections that it keeps open. It is safe for
// concurrent use; the number of concurrent streams is the number of connections.
type Pool struct {
	config  Config
	servers []*serverPool
	layouts layouts
}

// NewPool makes a pool; Close ends its connections.
func NewPool(config Config) *Pool {
	p := &Pool{config: config}
	for _, s := range config.Servers {
		sp := &serverPool{
			Server: s, config: &p.config, changed: make(chan struct{}),
			circuit: circuit{base: config.CircuitBase, cap: config.CircuitCap},
			pace:    pace{step: config.PaceStep},
		}
		if config.OnThrottle != nil {
			sp.pace.onChange = func(limited bool) { config.OnThrottle(s.Name(), limited) }
		}
		p.servers = append(p.servers, sp)
	}
	return p
}

// assess turns a failure into an outcome, and reports it to the server's
// circuit and pace.
func (p *Pool) assess(ctx context.Context, s *serverPool, permit *permit, m Mail, f failure, asked time.Time) Result {
	now := p.config.Now()
	outcome, origin := meaning(f, p.config.Sender.needsSMTPUTF8(m, m.To))
	result := Result{Outcome: outcome, Server: s.Name(), Code: f.code, Reply: f.reply}
	opened := false
	switch {
	case f.unbegun, f.code == 0 && f.phase < phaseDot && ctx.Err() != nil: // ended by the stop
		result.Outcome = NotTried
	case f.isThrottling() && !s.pace.throttle(now, asked, m.To, f.phase < phaseRcpt):
		result.Outcome, result.Throttled = NotTried, true
		p.succeeded(s, permit)
	case origin == originServer:
		opened = permit.serverTrouble(now, f.reply)
	case origin == originRecipient:
		opened = permit.recipientTrouble(now, m.To, f.reply)
	case f.phase != phaseMessage:
		p.succeeded(s, permit)
	}
	if opened && p.config.OnTrouble != nil {
		p.config.OnTrouble(s.Name(), f.reply)
	}
	return result
}

// succeeded reports to the circuit that the server works.
func (p *Pool) succeeded(s *serverPool, permit *permit) {
	if closed := permit.success(); closed && p.config.OnRecovery != nil {
		p.config.OnRecovery(s.Name())
	}
}

// UsableAt is when some server may be used again: the zero time when one is
// usable now, else the time of the next probe.
func (p *Pool) UsableAt() time.Time {
	var earliest time.Time
	for i, s := range p.servers {
		at := s.circuit.usableAt(p.config.Now())
		if at.IsZero() {
			return at
		}
		if i == 0 || at.Before(earliest) {
			earliest = at
		}
	}
	return earliest
}

// Within is how many mails the servers take in d when all of them have a rate
// limit, or -1 when one has none.
func (p *Pool) Within(d time.Duration) int {
	sum := 0
	for _, s := range p.servers {
		n := s.pace.within(p.config.Now(), d)
		if n < 0 {
			return n
		}
		sum += n
	}
	return sum
}

// ServerStatus is the state of one mail server.
type ServerStatus struct {
	Server    string
	Open      bool // the circuit
	Reason    string
	Since     time.Time
	RetryAt   time.Time
	Throttled int64   // replies that asked for a slower pace, so far
	RateLimit float64 // mails a second; 0 for none
	Busy      int     // connections in use or being made
	Idle      int     // connections
	Replies   map[Reply]int64
}

// Status is the state of each server, by priority.
func (p *Pool) Status() []ServerStatus {
	list := make([]ServerStatus, 0, len(p.servers))
	for _, s := range p.servers {
		status := ServerStatus{Server: s.Name(), Replies: s.replies.read()}
		status.Busy, status.Idle = s.connections()
		s.circuit.status(&status)
		s.pace.status(&status, p.config.Now())
		list = append(list, status)
	}
	return list
}

// Close ends the idle connections; those in use end with their mail.
func (p *Pool) Close() {
	for _, s := range p.servers {
		s.close()
	}
}

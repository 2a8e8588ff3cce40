package email

import (
	"context"
	"time"

	"fixdesk/pkg/notifyapi"
)

// Config is how mails are sent.
type Config struct {
	Sender  Sender
	Servers []Server // by priority, at least one
	HELO    string   // the name given in EHLO
	// Timeout bounds connecting with all that belongs to it, and again one
	// message.
	Timeout time.Duration
	// MessagesPerConnection is how many mails one connection carries.
	MessagesPerConnection int
	// IdleTime is how long an unused connection is kept.
	IdleTime time.Duration
	// CircuitBase and CircuitCap are the first and the longest pause after
	// server trouble.
	CircuitBase, CircuitCap time.Duration
	Now                     func() time.Time
	// OnTrouble, if set, is told each time a server's circuit opens or stays
	// open after a probe.
	OnTrouble func(server, reason string)
}

// LongestConversation is how long one try with one server can take.
func (c *Config) LongestConversation() time.Duration { return 2 * c.Timeout }

// hasTime tells whether ctx lasts for the longest conversation.
func (c *Config) hasTime(ctx context.Context) bool {
	if ctx.Err() != nil {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || deadline.Sub(c.Now()) >= c.LongestConversation()
}

// Pool sends mails over connections that it keeps open. It is safe for
// concurrent use; the number of concurrent Send calls is the number of
// connections.
type Pool struct {
	config  Config
	servers []*serverPool
}

// NewPool makes a pool; Close ends its connections.
func NewPool(config Config) *Pool {
	p := &Pool{config: config}
	for _, s := range config.Servers {
		p.servers = append(p.servers, &serverPool{
			Server: s, config: &p.config, changed: make(chan struct{}),
			circuit: circuit{base: config.CircuitBase, cap: config.CircuitCap},
		})
	}
	return p
}

// Send tries the servers by priority until one gives an outcome for this mail.
// No conversation starts that could outlast ctx's deadline: then, as when no
// server can be used, the outcome is NotTried.
func (p *Pool) Send(ctx context.Context, m Mail) Result {
	result := Result{Outcome: NotTried, Reply: "no mail server can be used"}
	for _, s := range p.servers {
		if !p.config.hasTime(ctx) {
			return Result{Outcome: NotTried, Server: s.Name(), Reply: "no time left for a conversation"}
		}
		permit, ok := s.circuit.allow(p.config.Now())
		if !ok {
			continue
		}
		if result = p.sendVia(ctx, s, permit, m); result.Outcome != NotTried {
			return result
		}
	}
	return result
}

// sendVia talks to one server. A conversation that broke before anything was
// asked of it (the server had closed an idle connection), or before the final
// dot, is begun anew, once.
func (p *Pool) sendVia(ctx context.Context, s *serverPool, leave permit, m Mail) Result {
	for first := true; ; first = false {
		conn, reused, err := s.acquire(ctx)
		if err != nil {
			return p.judge(ctx, s, leave, m, dialFailure(err))
		}
		stop := context.AfterFunc(ctx, conn.drop)
		reply, f, usable := conn.deliver(p.config.Sender, m)
		stop()
		s.giveBack(conn, usable)
		if f == nil {
			leave.success()
			return Result{Outcome: notifyapi.OutcomeSent, Server: s.Name(), Code: 250, Reply: reply}
		}
		stale := reused && f.phase == phaseMail && (f.code == 0 || f.code == 421)
		broke := f.code == 0 && f.phase < phaseDot && !f.timeout
		if first && (stale || broke) && p.config.hasTime(ctx) {
			s.endIdle((*connection).drop)
			continue
		}
		return p.judge(ctx, s, leave, m, *f)
	}
}

// judge turns a failure into an outcome and reports it to the circuit.
func (p *Pool) judge(ctx context.Context, s *serverPool, leave permit, m Mail, f failure) Result {
	smtputf8 := needsSMTPUTF8(p.config.Sender.From.Address, m.To)
	outcome, trouble := meaning(f.phase, f.code, smtputf8)
	switch {
	case f.code == 0 && f.phase < phaseDot && ctx.Err() != nil || f.late: // our own haste
		outcome = NotTried
		leave.unused()
	case trouble:
		leave.trouble(p.config.Now(), f.reply)
		if p.config.OnTrouble != nil {
			p.config.OnTrouble(s.Name(), f.reply)
		}
	case f.phase == phaseMessage:
		leave.unused()
	case f.code == 0:
		leave.broke(p.config.Now(), f.reply)
	default:
		leave.success()
	}
	return Result{Outcome: outcome, Server: s.Name(), Code: f.code, Reply: f.reply}
}

// UsableAt is when some server may be used again: the zero time when one is in
// order, else the time of the next probe.
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

// Status tells the state of each server, by priority.
func (p *Pool) Status() []ServerStatus {
	status := make([]ServerStatus, 0, len(p.servers))
	for _, s := range p.servers {
		status = append(status, s.circuit.status(s.Name()))
	}
	return status
}

// Close ends the idle connections; those in use end with their mail.
func (p *Pool) Close() {
	for _, s := range p.servers {
		s.close()
	}
}

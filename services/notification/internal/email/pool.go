package email

import (
	"context"
	"sync"
	"time"
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
func (c Config) LongestConversation() time.Duration { return 2 * c.Timeout }

// Pool sends mails over connections that it keeps open. It is safe for
// concurrent use; the number of concurrent Send calls is the number of
// connections.
type Pool struct {
	config  Config
	servers []*serverPool
}

// serverPool holds one server's idle connections, the latest used on top, so
// that few stay open when there is little to do.
type serverPool struct {
	Server
	circuit circuit

	mu     sync.Mutex
	closed bool
	idle   []*connection
}

// NewPool makes a pool; Close ends its connections.
func NewPool(config Config) *Pool {
	p := &Pool{config: config}
	for _, s := range config.Servers {
		p.servers = append(p.servers, &serverPool{
			Server:  s,
			circuit: circuit{base: config.CircuitBase, cap: config.CircuitCap},
		})
	}
	return p
}

// Send tries the servers by priority until one gives a verdict on this mail.
// No conversation starts that could outlast ctx's deadline: then, as when no
// server can be used, the verdict is NotTried.
func (p *Pool) Send(ctx context.Context, m Mail) Result {
	result := Result{Verdict: NotTried, Reply: "no mail server can be used"}
	for _, s := range p.servers {
		if !p.hasTime(ctx, p.config.LongestConversation()) {
			return Result{Verdict: NotTried, Server: s.Name(), Reply: "no time left for a conversation"}
		}
		permit, ok := s.circuit.allow(p.config.Now())
		if !ok {
			continue
		}
		if result = p.sendVia(ctx, s, permit, m); result.Verdict != NotTried {
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
		conn, reused := s.take()
		if conn == nil {
			var err error
			if conn, err = dial(ctx, s.Server, p.config.HELO, p.config.Timeout); err != nil {
				return p.judge(ctx, s, leave, m, dialFailure(err))
			}
		}
		stop := context.AfterFunc(ctx, conn.drop)
		reply, f, usable := conn.deliver(p.config.Sender, m)
		stop()
		p.finish(s, conn, usable)
		if f == nil {
			leave.success()
			return Result{Verdict: Sent, Server: s.Name(), Code: 250, Reply: reply}
		}
		stale := reused && f.phase == phaseMail && (f.code == 0 || f.code == 421)
		broke := f.code == 0 && f.phase < phaseDot && !f.timeout
		if first && (stale || broke) && p.hasTime(ctx, p.config.LongestConversation()) {
			s.discardIdle((*connection).drop)
			continue
		}
		return p.judge(ctx, s, leave, m, *f)
	}
}

// judge turns a failure into a verdict and tells the circuit.
func (p *Pool) judge(ctx context.Context, s *serverPool, leave permit, m Mail, f failure) Result {
	smtputf8 := needsSMTPUTF8(p.config.Sender.From.Address, m.To)
	verdict, trouble := meaning(f.phase, f.code, smtputf8)
	switch {
	case ctx.Err() != nil && f.code == 0 && f.phase < phaseDot: // our own haste
		verdict = NotTried
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
	return Result{Verdict: verdict, Server: s.Name(), Code: f.code, Reply: f.reply}
}

// hasTime tells whether ctx lasts for d more.
func (p *Pool) hasTime(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || deadline.Sub(p.config.Now()) >= d
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
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.discardIdle((*connection).quit)
	}
}

// finish keeps the connection for the next mail, or ends it.
func (p *Pool) finish(s *serverPool, conn *connection, usable bool) {
	if !usable {
		conn.drop()
		return
	}
	if conn.sent >= p.config.MessagesPerConnection || !s.put(conn, p.config.IdleTime) {
		conn.quit()
	}
}

func (s *serverPool) take() (conn *connection, reused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.idle); n > 0; n = len(s.idle) {
		conn, s.idle = s.idle[n-1], s.idle[:n-1]
		if conn.idle.Stop() { // else its time is up, and it is being closed
			return conn, true
		}
	}
	return nil, false
}

func (s *serverPool) put(conn *connection, idleTime time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	conn.idle = time.AfterFunc(idleTime, func() {
		s.forget(conn)
		conn.quit()
	})
	s.idle = append(s.idle, conn)
	return true
}

func (s *serverPool) forget(conn *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.idle {
		if c == conn {
			s.idle = append(s.idle[:i], s.idle[i+1:]...)
			return
		}
	}
}

// discardIdle ends the idle connections, which share the fate of the one that
// was found broken.
func (s *serverPool) discardIdle(end func(*connection)) {
	for {
		conn, _ := s.take()
		if conn == nil {
			return
		}
		end(conn)
	}
}

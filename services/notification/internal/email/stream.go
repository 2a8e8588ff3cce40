package email

import (
	"context"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Stream sends mails one after the other. Where a server offers PIPELINING (RFC 2920),
// the commands of the next mail go out in one piece with the end of the one before, so
// that a mail costs one round trip. A stream is for one goroutine.
type Stream struct {
	pool   *Pool
	begun  *begun // the next mail, nil for none
	buffer []byte // of a message that was sent, for a later one
}

// begun is a mail whose commands are on the wire.
type begun struct {
	id     uuid.UUID // of the mail
	mail   *outgoing
	server *serverPool
	conn   *connection
	permit *permit
	asked  time.Time
}

// Next has the mail that follows the one that is being sent; the zero value has none.
type Next struct {
	// Take returns the mail that the next call of Send will be given, or false. It is
	// called at most once, before the end of the mail is sent, and must not block.
	Take func() (Mail, bool)
	// GiveBack is called when the server takes so long for the mail before that the one
	// taken should be sent over another connection. It will not be given to Send then.
	GiveBack func()
}

// Stream returns a new stream. Call Drop when no further mail is sent.
func (p *Pool) Stream() *Stream { return &Stream{pool: p} }

// Send sends a mail that has none behind it. See Stream.Send.
func (p *Pool) Send(ctx context.Context, m Mail) Result { return p.Stream().Send(ctx, m, Next{}) }

// Send tries the servers by priority until one returns an outcome for this mail.
// When no server can be used, or all throttle, the outcome is NotTried, and also
// when ctx ends or the mail expires before the conversation begins. A conversation
// under way when ctx ends continues for at most StopTimeout. The mail must be the one
// that Next.Take returned last, unless it was given back or dropped.
func (s *Stream) Send(ctx context.Context, m Mail, next Next) Result {
	result := Result{Outcome: NotTried, Reply: "no mail server can be used"}
	b := s.begun
	s.begun = nil
	if b != nil && b.id != m.ID {
		b.drop()
		b = nil
	}
	for _, server := range s.pool.servers {
		if ctx.Err() != nil {
			b.drop()
			return result
		}
		if b == nil || b.server != server {
			permit, ok := server.circuit.allow(s.pool.config.Now())
			if !ok {
				continue
			}
			b = &begun{server: server, permit: permit}
		}
		result = s.sendVia(ctx, b, m, next)
		s.keepBuffer(b)
		if result.Outcome != NotTried {
			return result
		}
		b = nil
	}
	return result
}

// keepBuffer keeps the buffer of a message that is not needed any more, unless it is large.
func (s *Stream) keepBuffer(b *begun) {
	if b.mail != nil && cap(b.mail.content) <= blockSize {
		s.buffer = b.mail.content
	}
	b.mail = nil
}

// outgoing makes a mail for the wire.
func (s *Stream) outgoing(m Mail) (*outgoing, error) {
	buffer := s.buffer
	s.buffer = nil
	return s.pool.outgoing(buffer, m)
}

// Drop ends the conversation about the mail that was taken last, if it has begun. Its
// message is not sent.
func (s *Stream) Drop() {
	s.begun.drop()
	s.begun = nil
}

// drop ends the conversation without sending the message.
func (b *begun) drop() {
	if b == nil {
		return
	}
	b.permit.release()
	b.server.release(b.conn, false)
}

// sendVia sends a mail through one server. A conversation that broke before its
// first command (the server closed an idle connection), or before the final dot,
// is repeated once.
func (s *Stream) sendVia(ctx context.Context, b *begun, m Mail, next Next) Result {
	p := s.pool
	defer b.permit.release()
	if b.conn == nil {
		var ok bool
		if b.asked, ok = b.server.pace.wait(ctx, p.config.Now); !ok {
			return Result{Outcome: NotTried, Server: b.server.Name(), Reply: errStopped.Error()}
		}
	}
	if next.Take != nil {
		next.Take = once(next.Take)
	}
	for first := true; ; first = false {
		code, reply, reused, f := s.converse(ctx, b, m, next)
		b.server.replies.count(f)
		if f == nil {
			p.succeeded(b.server, b.permit)
			return Result{Outcome: notifyapi.OutcomeSent, Server: b.server.Name(), Code: code, Reply: reply}
		}
		stale := reused && f.phase == phaseMail && (f.code == 0 || f.code == 421)
		broke := f.code == 0 && f.phase > phaseDial && f.phase < phaseDot && !f.timeout
		if first && (stale || broke) && ctx.Err() == nil {
			b.server.endIdle((*connection).drop)
			b.conn = nil
			continue
		}
		return p.assess(ctx, b.server, b.permit, m, *f, b.asked)
	}
}

// once makes take return a mail at most once.
func once(take func() (Mail, bool)) func() (Mail, bool) {
	taken := false
	return func() (m Mail, ok bool) {
		if taken {
			return m, false
		}
		m, taken = take()
		return m, taken
	}
}

// converse sends the mail over one connection, which it returns to the server's pool
// unless the next mail has begun on it.
func (s *Stream) converse(ctx context.Context, b *begun, m Mail, next Next) (code int, reply string, reused bool, f *failure) {
	p, conn := s.pool, b.conn
	isBegun := conn != nil
	if !isBegun {
		var err error
		if conn, reused, err = b.server.acquire(ctx); err != nil {
			return 0, "", false, failed(phaseDial, err)
		}
	}
	var follows *begun
	usable := false
	defer func() {
		switch {
		case follows == nil:
			b.server.release(conn, usable)
		case usable:
			s.begun = follows
		default:
			follows.drop()
		}
	}()
	if m.isExpired(p.config.Now()) {
		usable = !isBegun
		return 0, "", reused, failed(phaseDial, errExpired)
	}
	if b.mail == nil {
		var err error
		if b.mail, err = s.outgoing(m); err != nil {
			usable = true
			return 0, "", reused, failed(phaseMessage, err)
		}
	}
	if b.mail.utf8 && !conn.offered.utf8 {
		usable = true
		return 0, "", reused, failed(phaseMessage, errNoSMTPUTF8)
	}
	defer conn.dropAfter(ctx, p.config.StopTimeout)()
	take := func() *outgoing {
		if follows = s.follow(ctx, b, conn, next); follows == nil {
			return nil
		}
		return follows.mail
	}
	code, reply, f, usable = conn.deliver(b.mail, isBegun, follower{take, func() {
		b.server.wasSlow(p.config.Now())
		next.GiveBack()
	}})
	return code, reply, reused || isBegun, f
}

// follow takes the mail that is sent over the same connection after the one that is
// being sent. There is none while the server is in trouble, throttles, or was slow
// lately: the mails then wait for each other in none of its connections. A mail whose
// message can't be made, or takes a panic, has not begun: its own turn shows that.
func (s *Stream) follow(ctx context.Context, b *begun, conn *connection, next Next) (f *begun) {
	now := s.pool.config.Now()
	if next.Take == nil || b.server != s.pool.servers[0] || b.permit.probe || ctx.Err() != nil ||
		conn.sent >= s.pool.config.MessagesPerConnection || !b.server.mayFollow(now) {
		return nil
	}
	m, ok := next.Take()
	if !ok || m.isExpired(now) {
		return nil
	}
	defer func() {
		if recover() != nil {
			f = nil
		}
	}()
	mail, err := s.outgoing(m)
	if err != nil || mail.utf8 && !conn.offered.utf8 {
		return nil
	}
	permit, ok := b.server.circuit.allow(now)
	if !ok {
		return nil
	}
	if permit.probe || b.server.pace.reserve(now) > 0 {
		permit.release()
		return nil
	}
	return &begun{id: m.ID, mail: mail, server: b.server, conn: conn, permit: permit, asked: now}
}

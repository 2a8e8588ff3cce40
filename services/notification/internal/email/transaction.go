package email

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// patience is how long the end of a mail may remain unanswered while the commands of
// another mail are on the wire behind it.
const patience = 250 * time.Millisecond

// follower returns the mail whose commands go out together with the end of the one
// that is being sent, nil for none. The second function is called when the server does
// not answer in time, and the mail is then not sent over this connection.
type follower struct {
	take     func() *outgoing
	giveBack func()
}

// deliver sends one mail, whose commands are on the wire already if it was begun. A
// nil failure means that the server took it. Afterwards usable reports whether the
// next mail may use the connection; it is the one that the follower returned, if any.
func (c *connection) deliver(m *outgoing, begun bool, f follower) (code int, reply string, failure *failure, usable bool) {
	if !begun {
		c.sent++
	}
	if failure, usable = c.open(m, begun); failure != nil {
		return 0, "", failure, usable
	}
	var next *outgoing
	if c.offered.pipelining && f.take != nil {
		next = f.take()
	}
	code, reply, inTime, failure := c.message(m, next, f.giveBack)
	switch {
	case !inTime: // the server waits for a message that will not come
		return code, reply, failure, false
	case failure == nil:
		return code, reply, nil, true
	case !failure.isRefusal():
		return 0, "", failure, false
	}
	return 0, "", failure, next != nil || c.reset()
}

// command is one of the three that precede a message.
type command struct {
	phase   phase
	expect  int           // the reply's code, or its first digits
	timeout time.Duration // of the reply
}

// commands are those of each mail.
func (c *connection) commands() [3]command {
	return [3]command{
		{phaseMail, 250, c.timeouts.Mail},
		{phaseRcpt, 25, c.timeouts.Rcpt},
		{phaseData, 354, c.timeouts.Data},
	}
}

// appendCommand appends the line of a mail's command. BODY=8BITMIME is requested as far as
// it is offered, and SMTPUTF8 only when the mail needs it, since later servers on the way
// may not support it.
func (c *connection) appendCommand(b []byte, m *outgoing, p phase) []byte {
	switch p {
	case phaseMail:
		b = append(append(b, "MAIL FROM:"...), m.from...)
		if c.offered.eightBit {
			b = append(b, " BODY=8BITMIME"...)
		}
		if m.utf8 {
			b = append(b, " SMTPUTF8"...)
		}
	case phaseRcpt:
		b = append(append(b, "RCPT TO:"...), m.to...)
	default:
		b = append(b, "DATA"...)
	}
	return append(b, "\r\n"...)
}

// appendCommands appends the lines of a mail's commands.
func (c *connection) appendCommands(b []byte, m *outgoing) []byte {
	for _, command := range c.commands() {
		b = c.appendCommand(b, m, command.phase)
	}
	return b
}

// open has the server accept the envelope of a mail: MAIL, RCPT, DATA (RFC 5321 section
// 3.3). With PIPELINING the commands go out in one piece (RFC 2920), and each reply
// still has its own time.
func (c *connection) open(m *outgoing, begun bool) (f *failure, usable bool) {
	if c.offered.pipelining && !begun {
		c.out = c.appendCommands(c.out[:0], m)
		if _, err := c.write(c.timeouts.Mail, c.out); err != nil {
			return failed(phaseMail, err), false
		}
	}
	for _, command := range c.commands() {
		if !c.offered.pipelining {
			if _, err := c.write(command.timeout, c.appendCommand(nil, m, command.phase)); err != nil {
				return failed(command.phase, err), false
			}
		}
		timeout := command.timeout
		if f != nil { // only the next mail depends on the reply
			timeout = min(timeout, resetTimeout)
		}
		_, _, whole, err := c.read(timeout, command.expect)
		if err == nil && !whole && command.phase == phaseData { // a message would be uncertain
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			if f != nil && command.phase == phaseData { // a message, even an empty one, might be delivered
				return f, false
			}
			continue
		}
		failure := failed(command.phase, err)
		if f == nil {
			f = failure
		}
		if !failure.isRefusal() {
			return f, false
		}
		if !c.offered.pipelining {
			break
		}
	}
	return f, f != nil && c.reset()
}

// message sends the message and the commands of the next mail, if there is one, and
// reads the reply to the message. When the reply does not come within the patience, the
// next mail is given back and inTime is false.
func (c *connection) message(m, next *outgoing, giveBack func()) (code int, reply string, inTime bool, f *failure) {
	content := m.content
	for len(content) > blockSize {
		if _, err := c.write(c.timeouts.Block, content[:blockSize]); err != nil {
			return 0, "", true, failed(phaseData, err)
		}
		content = content[blockSize:]
	}
	c.out = append(c.out[:0], content...)
	if next != nil {
		c.sent++
		c.out = c.appendCommands(c.out, next)
	}
	accepted, err := c.write(c.timeouts.Block, c.out)
	if err != nil {
		if accepted < len(content) { // the server can't have the final dot
			return 0, "", true, failed(phaseData, err)
		}
		return 0, "", true, failed(phaseDot, err)
	}
	inTime = next == nil || !isTimeout(c.await(min(patience, c.timeouts.Dot)))
	if !inTime {
		giveBack()
	}
	code, reply, _, err = c.read(c.timeouts.Dot, 2)
	if err != nil {
		return 0, "", inTime, failed(phaseDot, err)
	}
	return code, oneLine(reply), inTime, nil
}

// write writes under a deadline of its own, and returns how many bytes the operating
// system has taken when it fails.
func (c *connection) write(timeout time.Duration, b []byte) (accepted int, err error) {
	err = c.within(timeout, func() error {
		w := c.smtp.Text.W
		if accepted, err = w.Write(b); err != nil {
			return err
		}
		err = w.Flush()
		accepted -= w.Buffered()
		return err
	})
	return accepted, err
}

// read reads a reply under a deadline of its own. A reply whose code does not begin
// with the digits of expect is a *textproto.Error. whole is false when the connection
// ended within the reply, behind its code.
func (c *connection) read(timeout time.Duration, expect int) (code int, text string, whole bool, err error) {
	awaited := c.await(timeout)
	if isTimeout(awaited) {
		return 0, "", false, awaited
	}
	code, text, err = c.smtp.Text.ReadResponse(expect)
	return code, text, awaited == nil, err
}

// await waits until a whole reply has come, and reads none of it.
func (c *connection) await(d time.Duration) error {
	r := c.smtp.Text.R
	if hasReply(r.Peek(r.Buffered())) {
		return nil
	}
	if err := c.smtp.UpdateDeadline(d); err != nil {
		return err
	}
	for {
		n := r.Buffered()
		if hasReply(r.Peek(n)) || n == r.Size() { // ReadResponse reads one that is longer
			return nil
		}
		if _, err := r.Peek(n + 1); err != nil {
			return err
		}
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// hasReply reports whether b begins with a whole reply (RFC 5321 section 4.2.1).
func hasReply(b []byte, _ error) bool {
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if !ok {
			return false
		}
		if len(line) < 4 || line[3] != '-' {
			return true
		}
		b = rest
	}
}

// reset makes the connection serve the next mail after a refusal.
func (c *connection) reset() bool { return c.within(resetTimeout, c.smtp.Reset) == nil }

// isRefusal reports a reply after which the conversation may continue. After any other
// failure, writing could complete a half-sent message.
func (f *failure) isRefusal() bool { return f.code >= 400 && f.code != 421 && f.code != 530 }

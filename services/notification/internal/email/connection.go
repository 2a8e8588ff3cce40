package email

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// Timeouts bound each phase of a conversation (RFC 5321 section 4.5.3.2), each
// by itself.
type Timeouts struct {
	Connect  time.Duration // the TCP connection, for which the RFC has no value
	Greeting time.Duration // the greeting, and again EHLO, TLS and AUTH together
	Mail     time.Duration // the reply to MAIL
	Rcpt     time.Duration // the reply to RCPT
	Data     time.Duration // the reply to DATA
	Block    time.Duration // writing a block of the message
	Dot      time.Duration // the reply to the final dot
}

const (
	// blockSize is how much of a message is written in one Block time, in bytes.
	blockSize = 32 << 10
	// resetTimeout bounds RSET, after which the connection serves the next mail.
	resetTimeout = 10 * time.Second
)

// connection is one conversation with a server. Each has its own go-mail client,
// since a shared one is serialised and keeps state.
type connection struct {
	raw      net.Conn // under TLS too: closing it ends any wait
	smtp     *smtp.Client
	timeouts Timeouts
	sent     int         // messages tried
	idle     *time.Timer // closes it when unused for too long
}

// dial connects, sends EHLO, starts TLS and authenticates. It ends early with
// ctx. It closes the socket that go-mail keeps open when it fails after
// connecting.
func dial(ctx context.Context, s Server, helo string, timeouts Timeouts) (*connection, error) {
	c := &connection{timeouts: timeouts}
	stop := func() bool { return true }
	dialer := func(dialCtx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{Timeout: timeouts.Connect}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c.raw = raw
		stop = context.AfterFunc(ctx, c.drop)
		if s.TLS != TLSImplicit {
			return raw, nil
		}
		protected := tls.Client(raw, s.tlsConfig())
		if err := protected.HandshakeContext(dialCtx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return protected, nil
	}
	options := append(s.clientOptions(), gomail.WithTimeout(timeouts.Greeting),
		gomail.WithHELO(helo), gomail.WithDialContextFunc(dialer))
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("set up SMTP client: %w", err)
	}
	c.smtp, err = client.DialToSMTPClientWithContext(ctx)
	if !stop() && ctx.Err() != nil {
		err = errStopped
	}
	if err != nil {
		if c.raw != nil {
			c.drop()
		}
		return nil, err
	}
	return c, nil
}

// deliver sends one mail. A nil failure means that the server took it.
// Afterwards usable reports whether the next mail may use the connection.
func (c *connection) deliver(sender Sender, m Mail) (code int, reply string, f *failure, usable bool) {
	content, to, err := sender.content(m)
	if err != nil {
		return 0, "", failed(phaseMessage, err), true
	}
	utf8 := sender.needsSMTPUTF8(m, to)
	if offered, _ := c.smtp.Extension("SMTPUTF8"); utf8 && !offered {
		return 0, "", failed(phaseMessage, errors.New("the mail server does not offer SMTPUTF8, which this address needs (RFC 6531)")), true
	}
	// SMTPUTF8 is requested only when the address needs it, since later servers
	// on the way may not support it.
	c.smtp.SkipSMTPUTF8(!utf8)
	c.sent++
	code, reply, f = c.transfer(envelopeAddress(sender.envelopeSender(m)), envelopeAddress(to), content)
	if f == nil {
		return code, reply, nil, true
	}
	// A connection is usable after a refusal once it is reset. After any other
	// failure, writing to it could complete a half-sent message.
	if f.code >= 400 && f.code != 421 && f.code != 530 {
		usable = c.within(resetTimeout, c.smtp.Reset) == nil
	}
	return 0, "", f, usable
}

func envelopeAddress(address string) string {
	return (&mail.Address{Address: address}).String()
}

// transfer is the mail transaction (RFC 5321 section 3.3), each phase within
// its own time.
func (c *connection) transfer(from, to string, content []byte) (code int, reply string, f *failure) {
	if err := c.within(c.timeouts.Mail, func() error { return c.smtp.Mail(from) }); err != nil {
		return 0, "", failed(phaseMail, err)
	}
	if err := c.within(c.timeouts.Rcpt, func() error { return c.smtp.Rcpt(to) }); err != nil {
		return 0, "", failed(phaseRcpt, err)
	}
	var w io.WriteCloser
	err := c.within(c.timeouts.Data, func() (err error) { w, err = c.smtp.Data(); return err })
	if err != nil {
		return 0, "", failed(phaseData, err)
	}
	for len(content) > 0 {
		block := content[:min(blockSize, len(content))]
		content = content[len(block):]
		if err := c.within(c.timeouts.Block, func() error { _, err := w.Write(block); return err }); err != nil {
			return 0, "", failed(phaseData, err)
		}
	}
	err = c.within(c.timeouts.Dot, w.Close)
	var other *textproto.Error
	switch {
	case err == nil:
		return 250, oneLine(w.(*smtp.DataCloser).ServerResponse()), nil
	case errors.As(err, &other) && other.Code/100 == 2: // go-mail accepts only 250
		return other.Code, oneLine(other.Msg), nil
	}
	return 0, "", failed(phaseDot, err)
}

// within runs one phase under its own deadline.
func (c *connection) within(timeout time.Duration, phase func() error) error {
	if err := c.smtp.UpdateDeadline(timeout); err != nil {
		return err
	}
	return phase()
}

// dropAfter closes the connection when it is still in use for d after ctx
// ended. The returned function ends that.
func (c *connection) dropAfter(ctx context.Context, d time.Duration) (cancel func()) {
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			c.drop()
		case <-ended:
		}
	})
	return func() {
		close(ended)
		stop()
	}
}

// content is the message for the wire and the address that it goes to.
func (s Sender) content(m Mail) (content []byte, to string, err error) {
	msg, err := s.message(m)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	if _, err := msg.WriteTo(&b); err != nil {
		return nil, "", fmt.Errorf("write message: %w", err)
	}
	to, err = wireAddress(m.To)
	return folded(b.Bytes()), to, err
}

// quit ends the conversation with QUIT, within a second.
func (c *connection) quit() {
	_ = c.within(time.Second, c.smtp.Quit)
	_ = c.raw.Close()
}

// drop ends it at once.
func (c *connection) drop() { _ = c.raw.Close() }

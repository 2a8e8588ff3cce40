package email

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
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
	offered  extensions
	sent     int         // messages tried
	out      []byte      // what is written in one piece
	idle     *time.Timer // closes it when unused for too long
}

// extensions are those of the server that conversations use.
type extensions struct{ pipelining, eightBit, utf8 bool }

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
	c.offered.pipelining, _ = c.smtp.Extension("PIPELINING")
	c.offered.eightBit, _ = c.smtp.Extension("8BITMIME")
	c.offered.utf8, _ = c.smtp.Extension("SMTPUTF8")
	return c, nil
}

// within runs fn under a deadline of its own.
func (c *connection) within(timeout time.Duration, fn func() error) error {
	if err := c.smtp.UpdateDeadline(timeout); err != nil {
		return err
	}
	return fn()
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

// quit ends the conversation with QUIT, within a second.
func (c *connection) quit() {
	_ = c.within(time.Second, c.smtp.Quit)
	_ = c.raw.Close()
}

// drop ends it at once.
func (c *connection) drop() { _ = c.raw.Close() }

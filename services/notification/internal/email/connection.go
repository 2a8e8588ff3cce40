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

// connection is one conversation with a server. Each has a go-mail client of
// its own, since a shared one serialises and keeps state.
type connection struct {
	raw    net.Conn // under TLS too: closing it ends any wait
	client *gomail.Client
	smtp   *smtp.Client
	sent   int         // messages handed over
	idle   *time.Timer // closes it when unused for too long
}

// dial connects, greets, protects and authenticates within timeout. go-mail
// leaves the socket open when it fails after connecting; it is closed here.
func dial(ctx context.Context, s Server, helo string, timeout time.Duration) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &connection{}
	// go-mail renews its deadline on the way; closing the socket bounds the whole.
	stop := func() bool { return true }
	dialer := func(dialCtx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(dialCtx, network, address)
		if err != nil {
			return nil, err
		}
		c.raw = raw
		stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
		if s.TLS != TLSImplicit {
			return raw, nil
		}
		protected := tls.Client(raw, s.tlsConfig())
		if err := protected.HandshakeContext(dialCtx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		return protected, nil
	}
	options := append(s.clientOptions(), gomail.WithTimeout(timeout),
		gomail.WithHELO(helo), gomail.WithDialContextFunc(dialer))
	var err error
	if c.client, err = gomail.NewClient(s.Host, options...); err != nil {
		return nil, fmt.Errorf("set up SMTP client: %w", err)
	}
	c.smtp, err = c.client.DialToSMTPClientWithContext(ctx)
	if !stop() && ctx.Err() != nil {
		err = fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	if err != nil {
		if c.raw != nil {
			_ = c.raw.Close()
		}
		return nil, err
	}
	return c, nil
}

// deliver hands one mail over. A nil failure means that the server took it.
// Afterwards usable tells whether the next mail may use the connection.
func (c *connection) deliver(sender Sender, m Mail) (reply string, f *failure, usable bool) {
	msg, err := sender.message(m)
	if err != nil {
		return "", &failure{phase: phaseMessage, reply: oneLine(err.Error())}, true
	}
	utf8 := needsSMTPUTF8(sender.From.Address, msg.GetToString()[0])
	if offered, _ := c.smtp.Extension("SMTPUTF8"); utf8 && !offered {
		return "", &failure{phase: phaseMessage, reply: "the mail server does not offer SMTPUTF8, which this address needs (RFC 6531)"}, true
	}
	// Asked for only where it is needed: a later server might lack it.
	c.smtp.SkipSMTPUTF8(!utf8)
	err = c.client.SendWithSMTPClient(c.smtp, msg)
	c.sent++
	if msg.IsDelivered() { // whatever went wrong afterwards
		return oneLine(msg.ServerResponse()), nil, err == nil
	}
	read := readFailure(err)
	// A refusal leaves the connection in order once it is reset; anything else
	// does not, and writing to it could even complete a half-sent message.
	if read.code >= 400 && read.code != 421 && read.code != 530 {
		usable = c.smtp.Reset() == nil
	}
	return "", &read, usable
}

// quit ends the conversation politely, within a second.
func (c *connection) quit() {
	if c.smtp.UpdateDeadline(time.Second) == nil {
		_ = c.smtp.Quit()
	}
	_ = c.raw.Close()
}

// drop ends it at once.
func (c *connection) drop() { _ = c.raw.Close() }

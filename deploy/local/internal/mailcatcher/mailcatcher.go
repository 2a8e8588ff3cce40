// Package mailcatcher is a mail server that delivers nothing: it accepts every
// message by SMTP, stores it in a folder, and shows it on web pages and as JSON. It
// is for a developer's machine: its pages show all mail to every client.
//
// It must not know its senders.
package mailcatcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/emersion/go-smtp"
)

// Limits of what is accepted and kept.
const (
	maxMessages     = 5000 // stored; the oldest are deleted first
	maxMessageBytes = 10 << 20
	maxRecipients   = 1000
	smtpTimeout     = 5 * time.Minute // RFC 5321, section 4.5.3.2.7
)

// Catcher is a running catcher.
type Catcher struct {
	mail   *smtp.Server
	pages  *http.Server
	failed chan error
}

// Start serves SMTP and HTTP on the listeners, which it closes at the end, and stores
// messages in dir, which is made if absent. Messages of an earlier start are shown
// too. Replies that are written on the pages go by SMTP to the address inbound.
func Start(dir string, mail, pages net.Listener, inbound string) (*Catcher, error) {
	messages, err := openStore(dir, maxMessages)
	if err != nil {
		return nil, fmt.Errorf("open the caught mail: %w", err)
	}
	c := &Catcher{
		mail: newSMTPServer(messages, time.Now),
		pages: &http.Server{
			Handler:           newHandler(handler{messages, inbound, time.Now}),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       time.Minute,
			MaxHeaderBytes:    16 << 10,
		},
		failed: make(chan error, 2),
	}
	go func() {
		if err := c.mail.Serve(mail); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			c.failed <- fmt.Errorf("the mail catcher's SMTP server: %w", err)
		}
	}()
	go func() {
		if err := c.pages.Serve(pages); !errors.Is(err, http.ErrServerClosed) {
			c.failed <- fmt.Errorf("the mail catcher's pages: %w", err)
		}
	}()
	return c, nil
}

// Failed receives the error of a server that ended by itself.
func (c *Catcher) Failed() <-chan error { return c.failed }

// Stop ends both servers. Open conversations may finish until ctx ends.
func (c *Catcher) Stop(ctx context.Context) error {
	if err := c.mail.Close(); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		return fmt.Errorf("stop the mail catcher: %w", err)
	}
	if err := c.pages.Shutdown(ctx); err != nil {
		return errors.Join(err, c.pages.Close())
	}
	return nil
}

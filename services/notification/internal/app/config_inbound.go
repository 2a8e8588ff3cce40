package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"fixdesk/pkg/config"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/notification/internal/email"
	"fixdesk/services/notification/internal/inbound"
)

// Inbound is the configuration of mail that comes in.
type Inbound struct {
	Addr              config.OptionalAddr `default:"off" desc:"address to listen on for mail, host:port, or off"`
	Protocol          InboundProtocol     `default:"smtp" desc:"smtp, or lmtp to be handed mail by a mail server"`
	Domains           []string            `desc:"domains whose mail is taken, separated by commas, besides NOTIFICATION_BOUNCE_DOMAIN; mail for others is refused"`
	MaxSize           int64               `split_words:"true" default:"52428800" desc:"longest mail in bytes, at least 65536"`
	TLSCertFile       string              `envconfig:"TLS_CERT_FILE" desc:"certificate chain in PEM; set, STARTTLS is offered"`
	TLSKeyFile        string              `envconfig:"TLS_KEY_FILE" desc:"private key in PEM"`
	Connections       int                 `default:"100" desc:"connections at a time, at least 1; others are answered 421"`
	ClientConnections int                 `split_words:"true" default:"20" desc:"connections of one client network (an IPv4 address, an IPv6 /64) at a time, at least 1"`
	MailsPerMinute    int                 `split_words:"true" default:"6000" desc:"mails that one client network may hand in each minute, at least 1; others are answered 450"`
	IdleTimeout       time.Duration       `split_words:"true" default:"5m" desc:"how long the listener waits for a client, a positive duration"`
	Retention         time.Duration       `default:"2160h" desc:"how long a mail that came in is kept after it arrived, and until it is acknowledged at least; 0 keeps it without limit"`
	AuthservID        string              `envconfig:"AUTHSERV_ID" desc:"name of the mail server whose Authentication-Results are trusted (RFC 8601, section 2.2); unset, none are read"`
}

func (c Config) checkIMAP() error {
	if !c.IMAPURL.IsSet() {
		return nil
	}
	if _, err := inbound.ParseIMAP(c.IMAPURL.Reveal()); err != nil {
		return fmt.Errorf("NOTIFICATION_IMAP_URL: %w", err)
	}
	return nil
}

// mailbox makes the reader of the IMAP mailbox; nil when there is none.
func (c Config) mailbox(s *inbound.Service) (*inbound.Mailbox, error) {
	if !c.IMAPURL.IsSet() {
		return nil, nil //nolint:nilnil // no mailbox
	}
	server, err := inbound.ParseIMAP(c.IMAPURL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_IMAP_URL: %w", err)
	}
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	return inbound.NewMailbox(inbound.MailboxConfig{
		Service: s, Server: server, MaxSize: c.Inbound.MaxSize, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}), nil
}

// InboundProtocol is smtp or lmtp.
type InboundProtocol notifyapi.InboundSource

// Decode reads smtp or lmtp; envconfig calls it.
func (p *InboundProtocol) Decode(value string) error {
	switch source := notifyapi.InboundSource(value); source {
	case notifyapi.InboundSMTP, notifyapi.InboundLMTP:
		*p = InboundProtocol(source)
		return nil
	}
	return errors.New("want smtp or lmtp")
}

func (i Inbound) check() error {
	var bad []error
	refuse := func(format string, values ...any) { bad = append(bad, fmt.Errorf(format, values...)) }
	if i.Retention < 0 {
		refuse("NOTIFICATION_INBOUND_RETENTION must be 0 or a positive duration")
	}
	if i.MaxSize < 64<<10 {
		refuse("NOTIFICATION_INBOUND_MAX_SIZE must be at least 65536")
	}
	if i.Addr == "" {
		return errors.Join(bad...)
	}
	if len(i.Domains) == 0 {
		refuse("NOTIFICATION_INBOUND_DOMAINS must name the domains whose mail is taken")
	}
	for _, domain := range i.Domains {
		if _, err := idna.Lookup.ToASCII(strings.TrimSpace(domain)); err != nil || !strings.Contains(domain, ".") {
			refuse("NOTIFICATION_INBOUND_DOMAINS must be a list of domains such as fixdesk.example")
			break
		}
	}
	if i.Connections < 1 || i.ClientConnections < 1 || i.MailsPerMinute < 1 {
		refuse("NOTIFICATION_INBOUND_CONNECTIONS, NOTIFICATION_INBOUND_CLIENT_CONNECTIONS and NOTIFICATION_INBOUND_MAILS_PER_MINUTE must be at least 1")
	}
	if i.IdleTimeout <= 0 {
		refuse("NOTIFICATION_INBOUND_IDLE_TIMEOUT must be a positive duration, as in 5m")
	}
	if (i.TLSCertFile == "") != (i.TLSKeyFile == "") {
		refuse("NOTIFICATION_INBOUND_TLS_CERT_FILE and NOTIFICATION_INBOUND_TLS_KEY_FILE must be set together")
	}
	return errors.Join(bad...)
}

// listener makes the listener for mail; nil when there is none. It takes mail for the
// bounce addresses, too.
func (c Config) listener(s *inbound.Service, name string, bounces *email.BounceAddresses) (*inbound.Listener, error) {
	i := c.Inbound
	if i.Addr == "" {
		return nil, nil //nolint:nilnil // no listener
	}
	l := inbound.ListenerConfig{
		Service: s, Protocol: notifyapi.InboundSource(cmp.Or(i.Protocol, InboundProtocol(notifyapi.InboundSMTP))), Name: name,
		MaxSize: i.MaxSize, Connections: i.Connections, ClientConnections: i.ClientConnections, MailsPerMinute: i.MailsPerMinute,
		IdleTimeout: i.IdleTimeout, StopTimeout: c.StopTimeout() * 9 / 10,
	}
	if bounces != nil {
		l.Domains = append(l.Domains, bounces.Domain)
	}
	for _, domain := range i.Domains {
		ascii, err := idna.Lookup.ToASCII(strings.TrimSpace(domain))
		if err != nil {
			return nil, fmt.Errorf("NOTIFICATION_INBOUND_DOMAINS: %w", err)
		}
		l.Domains = append(l.Domains, ascii)
	}
	if i.TLSCertFile != "" {
		certificate, err := tls.LoadX509KeyPair(i.TLSCertFile, i.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("NOTIFICATION_INBOUND_TLS_CERT_FILE: %w", err)
		}
		l.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	}
	return inbound.NewListener(l), nil
}

// listenInbound opens the listener's socket.
func (a *App) listenInbound(ctx context.Context) (net.Listener, error) {
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", string(a.config.Inbound.Addr))
	if err != nil {
		return nil, fmt.Errorf("NOTIFICATION_INBOUND_ADDR: %w", err)
	}
	return socket, nil
}

// addressOf is where l listens, "off" for none.
func addressOf(l net.Listener) string {
	if l == nil {
		return "off"
	}
	return l.Addr().String()
}

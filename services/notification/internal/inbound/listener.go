package inbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/idna"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
)

// ListenerConfig describes the SMTP or LMTP listener; Service and Domains are
// required.
type ListenerConfig struct {
	Service *Service
	// Protocol is InboundSMTP or InboundLMTP.
	Protocol notifyapi.InboundSource
	// Name is what the server calls itself.
	Name string
	// Domains are those whose mail is taken, in lower case ASCII.
	Domains []string
	MaxSize int64
	// TLS offers STARTTLS; nil doesn't.
	TLS *tls.Config
	// Connections is how many there can be at a time, and ClientConnections how many
	// of them from one network (an IPv4 address, an IPv6 /64).
	Connections, ClientConnections int
	// MailsPerMinute is how many mails one network can hand in a minute.
	MailsPerMinute int
	// IdleTimeout is how long the server waits for the client, each time.
	IdleTimeout time.Duration
	StopTimeout time.Duration
}

const (
	// maxRecipients is how many addresses one mail can be for (RFC 5321, section
	// 4.5.3.1.8).
	maxRecipients = 100
	// maxLineLength is the longest line that is taken. RFC 5321 has 1,000; programs
	// send longer ones, and refusing those would lose them.
	maxLineLength = 1 << 20
	// transferTimeout bounds the transfer of one mail.
	transferTimeout = 30 * time.Minute
	// writeTimeout bounds each answer.
	writeTimeout = time.Minute
)

// Listener takes mail by SMTP or LMTP. Make it with NewListener.
type Listener struct {
	ListenerConfig
	server *smtp.Server
	limits *clientLimits
	ctx    context.Context // ends when transfers must
	abort  context.CancelFunc
	log    serverLog
}

// NewListener makes a listener; it starts with Serve.
func NewListener(c ListenerConfig) *Listener {
	l := &Listener{ListenerConfig: c, limits: newClientLimits(c, c.Service.Now), log: serverLog{c.Service.Log}}
	l.ctx, l.abort = context.WithCancel(context.Background()) //nolint:gosec // Serve calls abort
	l.server = smtp.NewServer(smtp.BackendFunc(l.session))
	l.server.LMTP = c.Protocol == notifyapi.InboundLMTP
	l.server.Domain, l.server.MaxMessageBytes, l.server.MaxRecipients = c.Name, c.MaxSize, maxRecipients
	l.server.MaxLineLength, l.server.TLSConfig, l.server.EnableSMTPUTF8 = maxLineLength, c.TLS, true
	l.server.WriteTimeout, l.server.ErrorLog = writeTimeout, l.log
	return l
}

// Serve takes mail from listener until ctx ends. Then it takes no further mail and
// waits for those on the wire, within StopTimeout.
func (l *Listener) Serve(ctx context.Context, listener net.Listener) error {
	defer l.abort()
	served := make(chan error, 1)
	go func() { served <- l.server.Serve(boundedListener{listener, l}) }()
	select {
	case err := <-served:
		return fmt.Errorf("take mail: %w", err)
	case <-ctx.Done():
	}
	l.limits.stop()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.StopTimeout)
	defer cancel()
	if err := l.server.Shutdown(stopping); err != nil {
		l.abort()
		l.limits.closeAll()
	}
	return <-served
}

// session starts the conversation with a client.
func (l *Listener) session(c *smtp.Conn) (smtp.Session, error) {
	conn, _ := rawConn(c.Conn()).(*boundedConn)
	if conn == nil {
		return nil, errors.New("inbound: a connection of another listener")
	}
	return &session{listener: l, conn: conn}, nil
}

// rawConn is the connection below TLS.
func rawConn(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// The answers to what isn't taken.
var (
	errRelay    = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "This server takes mail for its own domains alone"}
	errAddress  = &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "The address is not well formed"}
	errTooMany  = &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Too many mails from your network, try again later"}
	errHeader   = &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 3, 4}, Message: "The header is too large"}
	errStorage  = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The mail can't be stored now, try again later"}
	errStopping = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "The server stops, try again later"}
	errBroken   = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "The mail ended early, try again"}
)

// session is one conversation.
type session struct {
	listener *Listener
	conn     *boundedConn
	from     string
	to       []string
}

// Reset ends a mail, or forgets it.
func (s *session) Reset() {
	s.from, s.to = "", nil
	s.conn.done()
}

// Logout ends the conversation.
func (s *session) Logout() error { return nil }

// Mail begins a mail.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.listener.limits.isStopping() {
		return errStopping
	}
	if !s.listener.limits.take(s.conn.network) {
		s.count(resultDelayed)
		return errTooMany
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt takes an address of one of the domains.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	at := strings.LastIndexByte(to, '@')
	if at <= 0 || at == len(to)-1 || len(to) > maxAddress {
		s.count(resultRefused)
		return errAddress
	}
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(to[at+1:], "."))
	if err != nil || !s.listener.takes(domain) {
		s.count(resultRefused)
		return errRelay
	}
	s.to = append(s.to, to)
	return nil
}

func (l *Listener) takes(domain string) bool {
	for _, own := range l.Domains {
		if strings.EqualFold(domain, own) {
			return true
		}
	}
	return false
}

// Data stores the mail; the client is answered 250 when it is durable.
func (s *session) Data(r io.Reader) error {
	ctx, cancel := context.WithTimeout(s.listener.ctx, transferTimeout)
	defer cancel()
	s.conn.begin()
	_, err := s.listener.Service.Receive(ctx, Arrival{Source: s.listener.Protocol, From: s.from, To: s.to}, wholeReader{r, s.conn})
	if err == nil {
		return nil
	}
	answer, result := s.answer(ctx, err)
	s.count(result)
	if answer.Code/100 == 4 {
		s.listener.Service.Log.WarnContext(ctx, "mail was not stored", "source", s.listener.Protocol, "error", err)
	}
	return answer
}

// LMTPData is Data with the same answer for each recipient, since all of them are
// stored by one transaction.
func (s *session) LMTPData(r io.Reader, _ smtp.StatusCollector) error { return s.Data(r) }

func (s *session) answer(ctx context.Context, err error) (*smtp.SMTPError, string) {
	var answer *smtp.SMTPError
	switch {
	case errors.As(err, &answer): // the mail is too large
		return answer, resultRefused
	case errors.Is(err, smtp.ErrTooLongLine):
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "A line is too long"}, resultRefused
	case errors.Is(err, ErrHeaderTooLarge):
		return errHeader, resultRefused
	case s.listener.ctx.Err() != nil:
		return errStopping, resultDelayed
	case errors.Is(err, errShort), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, smtp.ErrDataReset) && !pg.Unavailable(err):
		return errBroken, resultBroken
	case ctx.Err() != nil:
		return errBroken, resultBroken
	}
	return errStorage, resultDelayed
}

func (s *session) count(result string) {
	s.listener.Service.metrics.received.WithLabelValues(string(s.listener.Protocol), result).Inc()
}

// errShort is a mail whose connection ended before it did.
var errShort = errors.New("the connection ended within the mail")

// wholeReader doesn't let a mail end that its connection cut short: go-smtp takes the
// end of the connection within a chunk (BDAT, RFC 3030) for the end of the mail.
type wholeReader struct {
	io.Reader
	conn *boundedConn
}

func (r wholeReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) && r.conn.ended() {
		err = errShort
	}
	return n, err
}

// serverLog drops what go-smtp logs of single clients, save panics.
type serverLog struct {
	log interface {
		Error(string, ...any)
	}
}

// Printf logs a panic.
func (l serverLog) Printf(format string, values ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("panic while mail was taken", "error", fmt.Sprintf(format, values...))
	}
}

// Println logs nothing.
func (serverLog) Println(...any) {}

// boundedListener gives each connection its limits.
type boundedListener struct {
	net.Listener
	l *Listener
}

// Accept refuses connections beyond the limits with 421.
func (b boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		bounded := &boundedConn{Conn: conn, network: network(conn.RemoteAddr()), limits: b.l.limits, idle: b.l.IdleTimeout}
		if b.l.limits.add(bounded) {
			return bounded, nil
		}
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) //nolint:forbidigo // the connection's clock
		_, _ = io.WriteString(conn, "421 4.7.0 Too many connections, try again later\r\n")
		_ = conn.Close()
	}
}

// boundedConn waits at most idle for the client, whatever deadline go-smtp sets: it
// has one for commands alone.
type boundedConn struct {
	net.Conn
	network string
	limits  *clientLimits
	idle    time.Duration

	mu       sync.Mutex
	isEnded  bool
	stopping bool
	mail     bool      // a mail is on the wire
	deadline time.Time // of its transfer; zero outside
	once     sync.Once
}

// begin starts the time of a mail's transfer.
func (c *boundedConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mail, c.deadline = true, time.Now().Add(transferTimeout) //nolint:forbidigo // the connection's clock
}

// done ends a mail's transfer.
func (c *boundedConn) done() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mail, c.deadline = false, time.Time{}
}

// stop ends the wait for a command. A mail on the wire goes on.
func (c *boundedConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if !c.mail {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *boundedConn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isEnded
}

// allow sets the deadline of the next read.
func (c *boundedConn) allow() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping && !c.mail {
		return os.ErrDeadlineExceeded // go-smtp answers 421
	}
	deadline := time.Now().Add(c.idle) //nolint:forbidigo // the connection's clock
	if !c.deadline.IsZero() && c.deadline.Before(deadline) {
		deadline = c.deadline
	}
	return c.Conn.SetReadDeadline(deadline)
}

// Read reads within the idle time.
func (c *boundedConn) Read(p []byte) (int, error) {
	if err := c.allow(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		c.mu.Lock()
		c.isEnded = true
		c.mu.Unlock()
	}
	return n, err
}

// SetReadDeadline does nothing: each read has its own.
func (c *boundedConn) SetReadDeadline(time.Time) error { return nil }

// Close frees the connection's place.
func (c *boundedConn) Close() error {
	c.once.Do(func() { c.limits.remove(c) })
	return c.Conn.Close()
}

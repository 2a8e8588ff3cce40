// Package smtptest is a scripted SMTP server (RFC 5321) for tests: it listens on a
// real socket, stores each message before it answers 250, and lets a test choose any
// reply, or close the connection, at any step.
//
// emersion/go-smtp v0.25.1 is weaker here: it writes the greeting and the
// replies to EHLO, STARTTLS, RSET and QUIT itself, and no malformed reply.
//
// It is for tests alone and must not know any service.
package smtptest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Drop as a reply closes the connection without an answer.
const Drop = "drop"

// Event is a step of a conversation that the server is about to answer.
type Event struct {
	Session int    // 1 is the first connection
	Verb    string // CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, DOT, RSET, NOOP, QUIT
	Arg     string // the rest of the line; for DOT the message
	To      string // the recipient so far, in DATA and DOT
}

// Message is one that the server accepted.
type Message struct {
	Session  int
	From, To string
	Params   string // of MAIL FROM, as SMTPUTF8
	Data     string
}

// Server is a scripted mail server.
type Server struct {
	// Hook chooses the reply to a step: "" is the usual one, Drop closes the
	// connection, any other text is sent as it is. It may block.
	Hook func(Event) string
	// Cut, if set, returns how many bytes of a reply are sent before the connection is
	// closed, at least its length for all and to go on. The reply has its line breaks.
	Cut func(e Event, reply string) int
	// Extensions are announced besides PIPELINING, 8BITMIME and
	// ENHANCEDSTATUSCODES.
	Extensions []string
	// NoPipelining leaves PIPELINING out of what is announced.
	NoPipelining bool
	// TLS, if set, offers STARTTLS or, with Implicit, starts TLS at once.
	TLS      *tls.Config
	Implicit bool
	// Auth, if set, announces PLAIN, LOGIN and XOAUTH2 and decides at AUTH, and
	// again at each MAIL, whether the session's credentials suffice: "" before
	// AUTH. So a test can change the password of sessions that are open.
	Auth func(mechanism, user, password string) bool

	listener net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	changed  chan struct{} // closed and renewed at each new message
	messages []Message
	events   []Event
	sessions int
	open     map[net.Conn]bool
	most     int
	closed   bool
}

// Start begins to listen on address, "" meaning any free port, and ends with
// the test.
func (s *Server) Start(t testing.TB, address string) *Server {
	t.Helper()
	if err := s.Listen(address); err != nil {
		t.Fatalf("smtptest: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Listen is Start without a test: the caller calls Close.
func (s *Server) Listen(address string) (err error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	for range 100 { // the port of a server that just ended can be busy for a moment
		if s.listener, err = net.Listen("tcp", address); err == nil {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	s.changed, s.open, s.closed = make(chan struct{}), map[net.Conn]bool{}, false
	s.wg.Go(s.accept)
	return nil
}

// Addr is host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close ends the server and all its connections.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	_ = s.listener.Close()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Messages are those accepted so far.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Count is how many messages were accepted for the address; "" means all.
func (s *Server) Count(to string) int {
	n := 0
	for _, m := range s.Messages() {
		if to == "" || m.To == to {
			n++
		}
	}
	return n
}

// Verbs are the steps seen so far with that name.
func (s *Server) Verbs(verb string) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []Event
	for _, e := range s.events {
		if e.Verb == verb {
			events = append(events, e)
		}
	}
	return events
}

// Connections is how many are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// MostConnections is the most connections that were open at a time.
func (s *Server) MostConnections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Wait waits until n messages were accepted, and fails the test after limit.
func (s *Server) Wait(t testing.TB, n int, limit time.Duration) []Message {
	t.Helper()
	deadline := time.After(limit)
	for {
		s.mu.Lock()
		got, changed := len(s.messages), s.changed
		s.mu.Unlock()
		if got >= n {
			return s.Messages()
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the mail server accepted %d messages in %v, want %d", got, limit, n)
		}
	}
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = conn.Close()
			return
		}
		s.sessions++
		session := s.sessions
		s.open[conn] = true
		s.most = max(s.most, len(s.open))
		s.mu.Unlock()
		s.wg.Go(func() {
			c := &conversation{server: s, session: session, conn: conn}
			c.run()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

// conversation is one connection's state.
type conversation struct {
	server   *Server
	session  int
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	secure   bool
	mail     bool // MAIL was accepted
	from, to string
	params   string

	mechanism, user, password string // of the last AUTH
}

var errDropped = errors.New("dropped")

func (c *conversation) run() {
	c.use(c.conn)
	if c.server.TLS != nil && c.server.Implicit {
		c.use(tls.Server(c.conn, c.server.TLS))
		c.secure = true
	}
	if c.answer("CONNECT", "", "220 test.example ESMTP") != nil {
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || c.step(strings.TrimRight(line, "\r\n")) != nil {
			return
		}
	}
}

func (c *conversation) use(conn net.Conn) {
	c.r, c.w = bufio.NewReader(conn), bufio.NewWriter(conn)
}

// answer sends the reply that the hook chooses, or the usual one.
func (c *conversation) answer(verb, arg, usual string) error {
	_, err := c.decide(verb, arg, usual)
	return err
}

func (c *conversation) decide(verb, arg, usual string) (ok bool, err error) {
	e := Event{Session: c.session, Verb: verb, Arg: arg, To: c.to}
	c.server.mu.Lock()
	c.server.events = append(c.server.events, e)
	c.server.mu.Unlock()
	reply := ""
	if c.server.Hook != nil {
		reply = c.server.Hook(e)
	}
	if reply == Drop {
		return false, errDropped
	}
	if reply == "" {
		reply = usual
	}
	ok = strings.HasPrefix(reply, "2")
	if verb == "DOT" && ok { // stored before the client gets the reply
		c.server.accepted(Message{Session: c.session, From: c.from, To: c.to, Params: c.params, Data: arg})
	}
	return ok, c.send(e, reply+"\r\n")
}

// send sends a reply, or its first bytes.
func (c *conversation) send(e Event, reply string) error {
	n := len(reply)
	if c.server.Cut != nil {
		n = min(n, c.server.Cut(e, reply))
	}
	if _, err := io.WriteString(c.w, reply[:n]); err != nil {
		return err
	}
	if err := c.w.Flush(); err != nil || n == len(reply) {
		return err
	}
	return errDropped
}

func (s *Server) accepted(m Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (c *conversation) step(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	switch verb {
	case "EHLO", "HELO":
		return c.answer(verb, arg, c.greeting())
	case "STARTTLS":
		return c.startTLS()
	case "AUTH":
		return c.auth(arg)
	case "MAIL":
		if !c.authenticated() {
			return c.answer(verb, arg, "530 5.7.0 Authentication required")
		}
		address, params, _ := strings.Cut(strings.TrimPrefix(arg, "FROM:"), " ")
		ok, err := c.decide(verb, arg, "250 2.1.0 Ok")
		if ok {
			c.mail, c.from, c.params = true, strings.Trim(address, "<>"), params
		}
		return err
	case "RCPT":
		usual := "250 2.1.5 Ok"
		if !c.mail {
			usual = "503 5.5.1 Need MAIL"
		}
		ok, err := c.decide(verb, strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>"), usual)
		if ok {
			c.to = strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
		}
		return err
	case "DATA":
		return c.data()
	case "RSET":
		c.mail, c.from, c.to = false, "", ""
		return c.answer(verb, arg, "250 2.0.0 Ok")
	case "NOOP":
		return c.answer(verb, arg, "250 2.0.0 Ok")
	case "QUIT":
		if err := c.answer(verb, arg, "221 2.0.0 Bye"); err != nil {
			return err
		}
		return errDropped
	}
	return c.answer(verb, arg, "500 5.5.2 Unknown command")
}

func (c *conversation) greeting() string {
	extensions := append([]string{"test.example", "8BITMIME", "ENHANCEDSTATUSCODES"}, c.server.Extensions...)
	if !c.server.NoPipelining {
		extensions = append(extensions, "PIPELINING")
	}
	if c.server.TLS != nil && !c.secure {
		extensions = append(extensions, "STARTTLS")
	}
	if c.server.Auth != nil {
		extensions = append(extensions, "AUTH PLAIN LOGIN XOAUTH2")
	}
	last := len(extensions) - 1
	return "250-" + strings.Join(extensions[:last], "\r\n250-") + "\r\n250 " + extensions[last]
}

func (c *conversation) startTLS() error {
	ok, err := c.decide("STARTTLS", "", "220 2.0.0 Ready")
	if err != nil || !ok {
		return err
	}
	conn := tls.Server(c.conn, c.server.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.use(conn)
	c.secure = true
	return nil
}

func (c *conversation) auth(arg string) error {
	mechanism, initial, _ := strings.Cut(arg, " ")
	c.mechanism, c.user, c.password = mechanism, "", ""
	switch mechanism {
	case "PLAIN":
		parts := strings.SplitN(decode(initial), "\x00", 3)
		if len(parts) == 3 {
			c.user, c.password = parts[1], parts[2]
		}
	case "LOGIN":
		c.user, c.password = c.ask("Username:"), c.ask("Password:")
	case "XOAUTH2":
		fields := strings.Split(decode(initial), "\x01")
		if len(fields) > 1 {
			c.user = strings.TrimPrefix(fields[0], "user=")
			c.password = strings.TrimPrefix(fields[1], "auth=Bearer ")
		}
	}
	if c.server.Auth == nil || !c.authenticated() {
		return c.answer("AUTH", mechanism, "535 5.7.8 Authentication failed")
	}
	return c.answer("AUTH", mechanism, "235 2.7.0 Accepted")
}

func (c *conversation) authenticated() bool {
	return c.server.Auth == nil || c.server.Auth(c.mechanism, c.user, c.password)
}

func (c *conversation) ask(prompt string) string {
	_, _ = fmt.Fprintf(c.w, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(prompt)))
	_ = c.w.Flush()
	line, _ := c.r.ReadString('\n')
	return decode(strings.TrimSpace(line))
}

func decode(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

func (c *conversation) data() error {
	usual := "354 End data with <CR><LF>.<CR><LF>"
	if c.to == "" {
		usual = "503 5.5.1 Need RCPT"
	}
	e := Event{Session: c.session, Verb: "DATA", To: c.to}
	before := ""
	if c.server.Hook != nil {
		before = c.server.Hook(e)
	}
	if before == Drop {
		return errDropped
	}
	if before != "" {
		usual = before
	}
	if err := c.send(e, usual+"\r\n"); err != nil || !strings.HasPrefix(usual, "354") {
		return err
	}
	var message strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		message.WriteString(strings.TrimPrefix(line, "."))
	}
	err := c.answer("DOT", message.String(), "250 2.0.0 Ok: taken")
	c.mail, c.from, c.to = false, "", ""
	return err
}

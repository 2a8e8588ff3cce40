package faulttest

import (
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// mailServer accepts every mail and counts each that it answered with 250.
type mailServer struct {
	addr string

	mu       sync.Mutex
	secret   string         // required when it is set, whoever the user
	accepted map[string]int // by recipient and Message-ID
	total    int
	tokens   []string // of mails about passwords, the newest last
}

func startMail(t *testing.T) *mailServer {
	t.Helper()
	m := &mailServer{accepted: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = listener.Addr().String()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &mailSession{server: m}, nil }))
	server.Domain, server.AllowInsecureAuth = "localhost", true
	server.ErrorLog = log.New(io.Discard, "", 0)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return m
}

type mailSession struct {
	server *mailServer
	to     []string
	known  string // the secret that was given
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, _, secret string) error {
		if s.known = secret; !s.authenticated() {
			return errors.New("wrong credentials")
		}
		return nil
	}), nil
}

// authenticated reports whether the session gave the current secret.
func (s *mailSession) authenticated() bool {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.server.secret == "" || s.known == s.server.secret
}

// require changes the secret, for connections that are open too.
func (m *mailServer) require(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secret = secret
}

func (s *mailSession) Reset()        { s.to = nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.authenticated() {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(message.Body)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if strings.Contains(strings.ToLower(message.Header.Get("Subject")), "password") {
		text := strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(string(body)) // quoted-printable
		if token := resetToken.FindStringSubmatch(text); token != nil {
			s.server.tokens = append(s.server.tokens, token[1])
		}
	}
	for _, to := range s.to {
		s.server.accepted[strings.ToLower(to)+" "+message.Header.Get("Message-ID")]++
		s.server.total++
	}
	return nil
}

// resetToken matches 256 bits in base64url.
var resetToken = regexp.MustCompile(`(?:^|[^A-Za-z0-9_-])([A-Za-z0-9_-]{43})(?:$|[^A-Za-z0-9_-])`)

// token is the newest one that was mailed, "" without any.
func (m *mailServer) token() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tokens) == 0 {
		return ""
	}
	return m.tokens[len(m.tokens)-1]
}

// counts returns how many different mails were accepted, and how many times one
// was accepted again.
func (m *mailServer) counts() (different, repeated int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accepted), m.total - len(m.accepted)
}

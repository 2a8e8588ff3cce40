package faulttest

import (
	"errors"
	"io"
	"log"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// mailServer takes every mail and remembers each that it answered with 250.
type mailServer struct {
	addr string

	mu       sync.Mutex
	secret   string         // asked for when it is set, whoever the user
	accepted map[string]int // by recipient and Message-ID
	total    int
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
		if s.known = secret; !s.welcome() {
			return errors.New("wrong credentials")
		}
		return nil
	}), nil
}

// welcome tells whether the session gave the secret of now.
func (s *mailSession) welcome() bool {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	return s.server.secret == "" || s.known == s.server.secret
}

// ask changes the secret, for connections that are open too.
func (m *mailServer) ask(secret string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.secret = secret
}

func (s *mailSession) Reset()        { s.to = nil }
func (s *mailSession) Logout() error { return nil }

func (s *mailSession) Mail(string, *smtp.MailOptions) error {
	if !s.welcome() {
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
	if _, err := io.Copy(io.Discard, message.Body); err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	for _, to := range s.to {
		s.server.accepted[strings.ToLower(to)+" "+message.Header.Get("Message-ID")]++
		s.server.total++
	}
	return nil
}

// counts gives how many different mails were accepted, and how many times one
// was accepted again.
func (m *mailServer) counts() (different, repeated int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.accepted), m.total - len(m.accepted)
}

package faulttest

import (
	"net/mail"
	"regexp"
	"strings"
	"sync"
	"testing"

	"fixdesk/pkg/dev/smtptest"
)

// mailServer accepts every mail, from authenticated sessions alone while a
// password is set.
type mailServer struct {
	*smtptest.Server

	mu       sync.Mutex
	password string
}

func startMail(t *testing.T) *mailServer {
	t.Helper()
	m := &mailServer{}
	m.Server = (&smtptest.Server{Auth: func(_, _, password string) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.password == "" || password == m.password
	}}).Start(t, "")
	return m
}

// require changes the password, for connections that are open too.
func (m *mailServer) require(password string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.password = password
}

// resetToken matches 256 bits in base64url.
var resetToken = regexp.MustCompile(`(?:^|[^A-Za-z0-9_-])([A-Za-z0-9_-]{43})(?:$|[^A-Za-z0-9_-])`)

// token returns the one in the newest mail about a password, "" without any.
func (m *mailServer) token(t *testing.T) (token string) {
	t.Helper()
	for _, accepted := range m.Messages() {
		if !strings.Contains(strings.ToLower(header(t, accepted, "Subject")), "password") {
			continue
		}
		_, body, _ := strings.Cut(accepted.Data, "\r\n\r\n")
		text := strings.NewReplacer("=\r\n", "", "=3D", "=").Replace(body) // quoted-printable
		if found := resetToken.FindStringSubmatch(text); found != nil {
			token = found[1]
		}
	}
	return token
}

// counts returns how many different mails were accepted, and how many times one
// was accepted again.
func (m *mailServer) counts(t *testing.T) (different, repeated int) {
	t.Helper()
	messages, seen := m.Messages(), map[string]bool{}
	for _, accepted := range messages {
		seen[strings.ToLower(accepted.To)+" "+header(t, accepted, "Message-ID")] = true
	}
	return len(seen), len(messages) - len(seen)
}

func header(t *testing.T, accepted smtptest.Message, name string) string {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(accepted.Data))
	if err != nil {
		t.Fatal(err)
	}
	return message.Header.Get(name)
}

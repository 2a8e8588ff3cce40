package mailcatcher

import (
	"fmt"
	"io"
	"log"
	"time"

	"github.com/emersion/go-smtp"
)

func newSMTPServer(messages *store, now func() time.Time) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{messages: messages, now: now}, nil
	}))
	server.Domain = "localhost"
	server.MaxMessageBytes = maxMessageBytes
	server.MaxRecipients = maxRecipients
	server.ReadTimeout = smtpTimeout
	server.WriteTimeout = smtpTimeout
	server.EnableSMTPUTF8 = true
	server.ErrorLog = log.New(io.Discard, "", 0) // a client that disconnects is no error
	return server
}

// session is one SMTP conversation.
type session struct {
	messages *store
	now      func() time.Time
	envelope envelope
}

func (s *session) Reset() { s.envelope = envelope{} }

func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.envelope = envelope{From: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.envelope.To = append(s.envelope.To, to)
	return nil
}

// Data answers 250 when the message is stored, and a temporary error when it can't
// be.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.envelope.ReceivedAt = s.now().UTC()
	if err := s.messages.add(s.envelope, raw); err != nil {
		return &smtp.SMTPError{
			Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1},
			Message: fmt.Sprintf("the message can't be kept: %v", err),
		}
	}
	return nil
}

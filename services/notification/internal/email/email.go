// Package email sends one recipient's mail to a mail server: the form of the
// message, the reused connections (RFC 5321), the choice among several servers,
// and the meaning of a server's reply.
//
// It owns only the conversation. Package delivery decides when to try, how often,
// and what is stored. This package must not know the database or the HTTP
// API.
package email

import (
	"crypto/sha256"
	"encoding/hex"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Mail is the mail to one recipient. Every byte of the message is determined by
// it and the sender's settings, so that a repeat is the same message.
type Mail struct {
	ID      uuid.UUID // the recipient's id: Message-ID and boundary come from it
	To      string    // an address without a display name
	Subject string
	Text    string
	HTML    string // "" for none
	Thread  string // mails of one thread refer to one root; "" for none
	ReplyTo string // where answers go; "" for the sender
	// Unsubscribe is the address that ends mails like this one; "" for none.
	Unsubscribe string
	RequestID   string // "" for none
	Attachments []Attachment
	Domain      string // the right side of the Message-ID
	Date        time.Time
	// Shared says that other mails differ from this one only in ID and To. It is not
	// part of the message.
	Shared bool
	// ExpiresAt is the time from which no conversation about the mail begins; zero
	// for never. It is not part of the message.
	ExpiresAt time.Time
}

// Attachment is a file in a mail.
type Attachment struct {
	Filename  string // in one line, without a path
	MediaType string // without parameters
	Content   []byte
}

// isExpired reports whether no conversation about the mail may begin any more.
func (m Mail) isExpired(now time.Time) bool { return !m.ExpiresAt.IsZero() && !now.Before(m.ExpiresAt) }

// needsSMTPUTF8 reports whether an address in the mail has characters beyond ASCII
// once its domain is in ASCII.
func (s Sender) needsSMTPUTF8(m Mail, to string) bool {
	return needsSMTPUTF8(s.From.Address, to, m.ReplyTo)
}

// MessageID is the mail's identity without the angle brackets (RFC 5322
// section 3.6.4). It begins with the name of the thread where that can be part of
// an address, so that the caller recognises answers that name this mail alone, and
// its left side ends with the recipient's id; see RecipientOf.
func (m Mail) MessageID() string {
	id := m.ID.String() + "@" + m.Domain
	if threadName.MatchString(m.Thread) {
		return m.Thread + "." + id
	}
	return id
}

// RecipientOf returns the recipient's id and the domain of a MessageID; ok is false
// for another one.
func RecipientOf(messageID string) (id uuid.UUID, domain string, ok bool) {
	left, domain, _ := strings.Cut(messageID, "@")
	text := left[strings.LastIndexByte(left, '.')+1:]
	id, err := uuid.Parse(text)
	if err != nil || domain == "" || id.String() != strings.ToLower(text) {
		return uuid.Nil, "", false
	}
	return id, domain, true
}

// threadRoot is the Message-ID that all mails of the thread to this recipient
// refer to. Mail programs group by it, although no such message was sent. It begins
// with the name of the thread as MessageID does.
func (m Mail) threadRoot() string {
	name := "thread"
	if threadName.MatchString(m.Thread) {
		name = m.Thread
	}
	sum := sha256.Sum256([]byte(m.Thread + "\x00" + strings.ToLower(m.To)))
	return name + "." + hex.EncodeToString(sum[:16]) + "@" + m.Domain
}

var threadName = regexp.MustCompile(`^[a-z0-9-]{1,80}$`)

// boundary separates the bodies. It is a token of RFC 2045, so that it needs no
// quotes, and made of an id that was not known when the bodies were written.
func (m Mail) boundary() string { return "part-" + hex.EncodeToString(m.ID[:]) }

// needsSMTPUTF8 reports whether an address has characters beyond ASCII, which
// only a server with the extension can take (RFC 6531).
func needsSMTPUTF8(addresses ...string) bool {
	for _, address := range addresses {
		for i := range len(address) {
			if address[i] >= 0x80 {
				return true
			}
		}
	}
	return false
}

// NotTried is the outcome of a try that costs no attempt, since no server could be
// used. It is never stored and never answered by the API.
const NotTried notifyapi.Outcome = "not_tried"

// Result is how a try ended.
type Result struct {
	Outcome notifyapi.Outcome
	Server  string // host:port
	Code    int    // the server's reply code; 0 when it gave none
	Reply   string // the server's own text on one line, or what broke
	// Throttled is set for a mail that was NotTried because the server throttles:
	// it should be tried later and not at once.
	Throttled bool
}

// Sender is the sender of the mails and the key that signs them.
type Sender struct {
	From    mail.Address
	DKIM    *DKIM            // nil: not signed
	Bounces *BounceAddresses // nil: From is the envelope sender of every mail
}

// envelopeSender is the address for delivery reports about the mail.
func (s Sender) envelopeSender(m Mail) string {
	if s.Bounces == nil {
		return s.From.Address
	}
	return s.Bounces.For(m.ID)
}

// Package request stores notifications and reports their results: it accepts
// each key once, derives results from the recipients, cancels and retries.
//
// It owns the rows of notifications, and those of recipients until package
// delivery claims them. It must not know SMTP.
package request

import (
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Notification is a stored request with its result.
type Notification struct {
	ID          uuid.UUID
	Subject     string
	Content     *Content // nil where the reader may not see it
	Requester   string
	Reference   *string
	Thread      *string
	Sensitive   bool
	Priority    notifyapi.Priority
	Status      notifyapi.Status
	NotBefore   *time.Time
	ExpiresAt   *time.Time // from when on it is not sent; nil for never
	CreatedAt   time.Time
	CompletedAt *time.Time
	Counts      notifyapi.Counts
	Recipients  []Recipient // the first 100, where they were asked for
}

// Content is what a mail says and where answers to it go. HTML is nil when there
// is only text, ReplyTo when answers go to the sender.
type Content struct {
	Text    string
	HTML    *string
	ReplyTo *string
	Files   []notifyapi.AttachmentInfo
}

// Recipient is one address and the state of its mail.
type Recipient struct {
	ID            uuid.UUID
	Ordinal       int16 // its place in the request, from 0
	Email         string
	Status        notifyapi.RecipientStatus
	Attempts      int
	LastError     *string
	NextAttemptAt *time.Time // nil when there will be none
	SentAt        *time.Time
}

// Attempt is one try to send a recipient's mail.
type Attempt struct {
	Number  int
	At      time.Time
	Server  string
	Code    *int // of the server's reply; nil when it gave none
	Reply   string
	Outcome notifyapi.Outcome
}

// Report is what a mail server reported about a recipient's mail after it had taken
// it.
type Report struct {
	ID         uuid.UUID
	Kind       notifyapi.ReportKind
	ReceivedAt time.Time
	Status     *string // the enhanced status code (RFC 3463); nil when there is none
	Code       *int    // of the SMTP reply; nil when there is none
	Server     *string // the server that refused it; nil when it is not named
	Text       string
}

// Stats is the state of the whole queue.
type Stats struct {
	Counts        notifyapi.Counts
	OldestDueAge  time.Duration
	SentPerMinute int
}

// Filter narrows a list of notifications; the zero value lists all.
type Filter struct {
	Reference, Requester        string
	Status                      notifyapi.Status
	CreatedAfter, CreatedBefore time.Time
}

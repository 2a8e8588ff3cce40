// Package request takes notifications in and tells what became of them: it
// accepts each key once, derives results from the recipients, cancels and
// queues again.
//
// It owns the rows of notifications, and of recipients until delivery takes
// them over. It must not know SMTP.
package request

import (
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Status is a notification's state; the words are the wire contract's.
type Status string

// Notification is a stored request with its result.
type Notification struct {
	ID          uuid.UUID
	Subject     string
	Text        string
	HTML        *string
	Requester   string
	Reference   *string
	Thread      *string
	Status      Status
	NotBefore   *time.Time
	CreatedAt   time.Time
	CompletedAt *time.Time
	Counts      Counts
}

// Counts is how many recipients are in each state; Total is their sum.
type Counts struct {
	Total, Queued, Sending, Delayed, Sent, Failed, Canceled, Uncertain int
}

// Recipient is one address and what became of its mail.
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

// Attempt is one try to hand a mail over.
type Attempt struct {
	Number  int
	At      time.Time
	Server  string
	Code    *int
	Reply   string
	Outcome notifyapi.Outcome
}

// Stats is the state of the whole queue.
type Stats struct {
	Counts        Counts
	OldestDueAge  time.Duration
	SentPerMinute int
}

// Filter narrows a list of notifications; the zero value lists all.
type Filter struct {
	Reference, Requester, Status string
	CreatedAfter, CreatedBefore  time.Time
}

// farthestNotBefore is how far ahead a mail may be ordered.
const farthestNotBefore = 366 * 24 * time.Hour

// isOver tells whether nothing will happen to the notification by itself.
func (s Status) isOver() bool { return s != "queued" && s != "processing" }

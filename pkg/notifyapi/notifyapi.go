// Package notifyapi is the notification service's HTTP API for its clients: the
// types of its JSON and a client whose retries are safe. The service uses the
// same types.
//
// It must not know how mail is sent or stored, and imports nothing of a service.
package notifyapi

import (
	"time"

	"github.com/google/uuid"
)

// The scopes a caller's token may carry (RFC 6749 section 3.3); see ScopesHelp.
const (
	ScopeWrite  = "notifications:write"
	ScopeRead   = "notifications:read"
	ScopeManage = "notifications:manage"
)

// Audience is the "aud" that the service requires of a token.
const Audience = "notification"

// MaxRecipients is how many addresses one notification may list.
const MaxRecipients = 1000

// Request asks for one mail to each of Recipients.
type Request struct {
	Subject    string   `json:"subject" minLength:"1" maxLength:"300" doc:"The mail's subject: one line without control characters."`
	Text       string   `json:"text" minLength:"1" maxLength:"200000" doc:"The mail as plain text."`
	HTML       *string  `json:"html,omitempty" nullable:"true" minLength:"1" maxLength:"500000" doc:"The same mail as HTML, for mail programs that show it."`
	Recipients []string `json:"recipients" minItems:"1" maxItems:"1000" nullable:"false" doc:"Addresses, each mailed separately; a repeated address is mailed once."`
	Requester  string   `json:"requester" minLength:"1" maxLength:"200" doc:"Who or what asks, as the caller names it."`
	Reference  *string  `json:"reference,omitempty" nullable:"true" minLength:"1" maxLength:"200" doc:"The caller's own name for what this is about; notifications are found by it."`
	Thread     *string  `json:"thread,omitempty" nullable:"true" minLength:"1" maxLength:"200" doc:"Mails of one thread are shown together by the reader's mail program."`
	// NotBefore is the earliest time to send the mail; absent or in the past
	// means now.
	NotBefore *time.Time `json:"not_before,omitempty" nullable:"true" doc:"Send no earlier than this, at most a year ahead."`
	// ExpiresAt is the time from which the mail is not sent any more; absent
	// means never.
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true" doc:"Not sent at this time or later: a recipient that still waits ends as expired. It must be in the future and after not_before."`
	// ReplyTo is where answers to the mail go; absent means to the sender.
	ReplyTo *string `json:"reply_to,omitempty" nullable:"true" minLength:"1" maxLength:"254" doc:"The address for answers to the mail (Reply-To, RFC 5322 section 3.6.2). It is shown where text is."`
	// UnsubscribeURL is an address that IsUnsubscribeURL accepts; absent means that
	// the mail can't be unsubscribed from. No answer has it.
	UnsubscribeURL *string `json:"unsubscribe_url,omitempty" nullable:"true" minLength:"1" maxLength:"1000" doc:"The https address that ends mails like this one (List-Unsubscribe, RFC 2369): a page for GET, and one click for POST (RFC 8058). http is accepted for this host alone. It is in no answer, since whoever has it can unsubscribe the recipient."`
	// Priority orders the mails that are due; "" means PriorityNormal.
	Priority Priority `json:"priority,omitempty" doc:"normal when absent. urgent mails are sent before all others that are due, bulk mails when no other is due."`
	// Attachments are files that every recipient gets, at most MaxAttachments of
	// together MaxAttachmentBytes.
	Attachments []Attachment `json:"attachments,omitempty" maxItems:"10" nullable:"false" doc:"Files that every recipient gets with the mail, at most 5 MiB together before they are encoded."`
	// Sensitive is for mails that carry secrets.
	Sensitive bool `json:"sensitive,omitempty" doc:"The content is in no answer, it is erased when the notification is over, and a retry is refused."`
}

// The limits of a notification's files.
const (
	MaxAttachments     = 10
	MaxAttachmentBytes = 5 << 20 // together
)

// Attachment is a file in a mail.
type Attachment struct {
	Filename  string `json:"filename" minLength:"1" maxLength:"255" doc:"Its name in one line, without a path."`
	MediaType string `json:"media_type" minLength:"3" maxLength:"127" doc:"Its media type without parameters (RFC 6838)." example:"image/png"`
	Content   []byte `json:"content" doc:"The file in base64 (RFC 4648, section 4)."`
}

// AttachmentInfo describes a stored attachment.
type AttachmentInfo struct {
	Filename  string `json:"filename" doc:"Its name."`
	MediaType string `json:"media_type" doc:"Its media type."`
	Size      int    `json:"size" doc:"In bytes."`
}

// Priority orders the mails that are due.
type Priority string

// The priorities of a notification.
const (
	PriorityUrgent Priority = "urgent" // before all others
	PriorityNormal Priority = "normal"
	PriorityBulk   Priority = "bulk" // when no other is due
)

// Status is the state of a notification, derived from its recipients.
type Status string

// The states of a notification.
const (
	StatusQueued          Status = "queued"           // nothing was tried yet
	StatusProcessing      Status = "processing"       // some recipient is still to be mailed
	StatusCompleted       Status = "completed"        // everyone was mailed
	StatusPartiallyFailed Status = "partially_failed" // some were mailed, some not
	StatusFailed          Status = "failed"           // all have ended and none was mailed
	StatusCanceled        Status = "canceled"         // canceled before everyone was mailed, no failure
)

// RecipientStatus is the state of one recipient's mail.
type RecipientStatus string

// The states of a recipient.
const (
	RecipientQueued    RecipientStatus = "queued"    // to be tried
	RecipientSending   RecipientStatus = "sending"   // a worker has leased it
	RecipientDelayed   RecipientStatus = "delayed"   // failed temporarily, will be tried again
	RecipientSent      RecipientStatus = "sent"      // the mail server accepted it
	RecipientFailed    RecipientStatus = "failed"    // refused permanently, or out of attempts
	RecipientCanceled  RecipientStatus = "canceled"  // canceled before it was sent
	RecipientUncertain RecipientStatus = "uncertain" // the connection broke before the server's answer
	RecipientExpired   RecipientStatus = "expired"   // not sent before the time that the request gave
	// RecipientBounced is one whose mail the server took and could not deliver: a
	// delivery report came.
	RecipientBounced    RecipientStatus = "bounced"
	RecipientSuppressed RecipientStatus = "suppressed" // not sent, its address is on the suppression list
)

// RecipientStatuses are all states of a recipient.
var RecipientStatuses = []RecipientStatus{
	RecipientQueued, RecipientSending, RecipientDelayed, RecipientSent,
	RecipientFailed, RecipientCanceled, RecipientUncertain, RecipientExpired,
	RecipientBounced, RecipientSuppressed,
}

// Counts is how many recipients are in each state; Total is their sum.
type Counts struct {
	Total      int `json:"total" doc:"All recipients."`
	Queued     int `json:"queued" doc:"Waiting for their first try."`
	Sending    int `json:"sending" doc:"Being sent now."`
	Delayed    int `json:"delayed" doc:"Failed temporarily and waiting for the next try."`
	Sent       int `json:"sent" doc:"Taken by the mail server."`
	Failed     int `json:"failed" doc:"Refused permanently, or given up."`
	Canceled   int `json:"canceled" doc:"Canceled before they were sent."`
	Uncertain  int `json:"uncertain" doc:"The connection broke after the mail and before the server's answer."`
	Expired    int `json:"expired" doc:"Not sent before expires_at."`
	Bounced    int `json:"bounced" doc:"Taken by the mail server, and reported as undeliverable afterwards."`
	Suppressed int `json:"suppressed" doc:"Not sent, since the address is on the suppression list."`
}

// Add adds n recipients of a state, and to the total.
func (c *Counts) Add(s RecipientStatus, n int) {
	c.Total += n
	switch s {
	case RecipientQueued:
		c.Queued += n
	case RecipientSending:
		c.Sending += n
	case RecipientDelayed:
		c.Delayed += n
	case RecipientSent:
		c.Sent += n
	case RecipientFailed:
		c.Failed += n
	case RecipientCanceled:
		c.Canceled += n
	case RecipientUncertain:
		c.Uncertain += n
	case RecipientExpired:
		c.Expired += n
	case RecipientBounced:
		c.Bounced += n
	case RecipientSuppressed:
		c.Suppressed += n
	}
}

// Notification is a stored request and its result. Text, HTML and ReplyTo are in
// the answer to Create, and to Get for its own caller (the "sub" of the token),
// unless it is sensitive; elsewhere they are empty.
type Notification struct {
	ID          uuid.UUID        `json:"id"`
	Subject     string           `json:"subject"`
	Text        string           `json:"text,omitempty"`
	HTML        *string          `json:"html,omitempty"`
	ReplyTo     *string          `json:"reply_to,omitempty"`
	Attachments []AttachmentInfo `json:"attachments,omitempty"`
	Requester   string           `json:"requester"`
	Reference   *string          `json:"reference"`
	Thread      *string          `json:"thread"`
	Sensitive   bool             `json:"sensitive"`
	Priority    Priority         `json:"priority"`
	Status      Status           `json:"status"`
	NotBefore   *time.Time       `json:"not_before"`
	ExpiresAt   *time.Time       `json:"expires_at"`
	CreatedAt   time.Time        `json:"created_at"`
	CompletedAt *time.Time       `json:"completed_at" doc:"When the last recipient was settled; null until then."`
	Counts      Counts           `json:"counts"`
	// Recipients are the first 100: on Get, and on List with them.
	Recipients []Recipient `json:"recipients,omitempty" doc:"The first 100."`
	// RecipientsNext is the path of the page that follows Recipients.
	RecipientsNext string `json:"recipients_next,omitempty" doc:"Where the rest of the recipients is, if there is more."`
}

// Recipient is one address and the state of its mail.
type Recipient struct {
	ID            uuid.UUID       `json:"id"`
	Email         string          `json:"email"`
	Status        RecipientStatus `json:"status"`
	Attempts      int             `json:"attempts"`
	LastError     *string         `json:"last_error"`
	NextAttemptAt *time.Time      `json:"next_attempt_at" doc:"The earliest time of the next try; null when there will be none."`
	SentAt        *time.Time      `json:"sent_at"`
}

// Outcome is how one try ended.
type Outcome string

// The outcomes of a try.
const (
	OutcomeSent      Outcome = "sent"
	OutcomeTemporary Outcome = "temporary"
	OutcomePermanent Outcome = "permanent"
	OutcomeUncertain Outcome = "uncertain"
)

// Attempt is one try to send a recipient's mail.
type Attempt struct {
	Number  int       `json:"number" doc:"1 is the first try."`
	At      time.Time `json:"at"`
	Server  string    `json:"server" doc:"The mail server, host and port."`
	Code    *int      `json:"code" doc:"The server's reply code (RFC 5321 section 4.2); null when it gave none."`
	Reply   string    `json:"reply" doc:"The server's own text, or what broke."`
	Outcome Outcome   `json:"outcome"`
}

// ReportKind is what a delivery report says.
type ReportKind string

// The kinds of delivery reports.
const (
	ReportFailed    ReportKind = "failed"    // the mail could not be delivered
	ReportDelayed   ReportKind = "delayed"   // it is still being tried
	ReportComplaint ReportKind = "complaint" // the recipient calls it unwanted
)

// DeliveryReport is what a mail server reported about a recipient's mail after it
// had taken it.
type DeliveryReport struct {
	ID         uuid.UUID  `json:"id"`
	Kind       ReportKind `json:"kind"`
	ReceivedAt time.Time  `json:"received_at"`
	Status     *string    `json:"status" doc:"The enhanced status code (RFC 3463); null when the report has none."`
	Code       *int       `json:"code" doc:"The SMTP reply code; null when the report has none."`
	Server     *string    `json:"server" doc:"The server that refused the mail; null when the report doesn't name it."`
	Text       string     `json:"text" doc:"The server's own words."`
}

// Page is one page of a list. NextCursor is empty on the last.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// Stats is the state of the whole queue.
type Stats struct {
	Recipients Counts `json:"recipients" doc:"How many recipients have each status, of all notifications that are stored."`
	// OldestDueAgeSeconds is how long the oldest recipient that could be
	// mailed now has waited; 0 when none waits.
	OldestDueAgeSeconds float64 `json:"oldest_due_age_seconds" doc:"How long the oldest recipient that could be mailed now has waited; 0 when none waits."`
	// SentPerMinute is the mails taken by servers in the last 60 seconds.
	SentPerMinute int `json:"sent_per_minute" doc:"Mails that the servers took in the last 60 seconds."`
}

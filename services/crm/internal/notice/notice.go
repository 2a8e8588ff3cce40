// Package notice owns the content of mails to people: the facts of each notice
// and the text made of them. It does no input or output and uses neither the
// database nor the notification service; its callers decide who is notified, and
// when.
//
// A notice is stored as JSON in the transaction of its change. Its text is made
// when it is posted, perhaps several times. The text depends only on the facts
// and Links, so that it is the same each time.
package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The kinds of notice, as stored.
const (
	KindTicketReceived   = "ticket_received"
	KindTicketAssigned   = "ticket_assigned"
	KindTicketUnassigned = "ticket_unassigned"
	KindTicketChanged    = "ticket_changed"
	KindTicketCommented  = "ticket_commented"
)

// ErrUnknownKind is returned by Decode for a kind that this version of the
// software doesn't know; a newer one may.
var ErrUnknownKind = errors.New("unknown kind of notice")

// Notice is one message to one audience, which gets the same text.
type Notice interface {
	// Kind is the stored name of the notice's type.
	Kind() string
	// Message makes the mail from the facts.
	Message(Links) Message
}

// Message is a mail, ready to be posted. No mail is posted when To is empty.
// Subject is a single line of at most 160 characters. Thread is the same for all
// mails of one conversation, and empty for a single mail. ReplyTo is where answers
// go, and empty when they are not read. Unsubscribe is the address of the page that
// ends mails of this kind to its one recipient, and empty where that can't be.
type Message struct {
	To      []string
	Subject string
	Text    string
	HTML    string
	Thread  string
	ReplyTo string

	Unsubscribe string
}

// Links has the addresses that mails lead to. PublicURL is that of the service for
// browsers, without a trailing slash. With VerifiedOnly, mails to an unverified
// address have the number and the link of a ticket, and no text that another
// person wrote. ReplyTo returns the mail address for answers of an audience to a
// ticket; nil means that mails can't be answered by mail. Support is the address to which
// anybody may write, empty where mail is not taken in. Secret is the key of the tokens in
// links for unsubscribing; nil means that mails have none.
type Links struct {
	PublicURL    string
	VerifiedOnly bool
	ReplyTo      func(number int64, ticket uuid.UUID, to Audience) string
	Support      string
	Secret       []byte
}

// Audience is as whom a person gets a mail about a ticket.
type Audience string

// The audiences of mails about a ticket.
const (
	ToReporter Audience = "reporter"
	ToFollower Audience = "follower"
	ToStaff    Audience = "staff"
	ToInternal Audience = "internal" // staff, about an internal comment
)

// Person is a recipient, or a person that a notice is about. The database sets
// Unverified when the notice is written (trigger outbox_recipient) and the
// person's address is not verified.
type Person struct {
	ID         uuid.UUID `json:"id"`
	Name       string    `json:"name"`
	Email      string    `json:"email"`
	Unverified bool      `json:"unverified,omitempty"`
}

// Ticket is the ticket that a notice is about. Its JSON is flat: ticket_id,
// number and title are fields of the notice.
type Ticket struct {
	ID     uuid.UUID `json:"ticket_id"`
	Number int64     `json:"number"`
	Title  string    `json:"title"`
}

// Change is one changed field of a ticket. Field is the name in the API; From and
// To are the values as in the API, empty for none.
type Change struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// TicketReceived acknowledges a ticket to its reporter. AssigneeName is empty
// while no engineer is assigned.
type TicketReceived struct {
	Ticket
	To           Person `json:"to"`
	Description  string `json:"description"`
	AssigneeName string `json:"assignee_name"`
	Files        []File `json:"files,omitempty"` // of the ticket
}

// TicketAssigned notifies an engineer of a new ticket. ByName is empty when it was
// assigned automatically.
type TicketAssigned struct {
	Ticket
	To           Person `json:"to"`
	ReporterName string `json:"reporter_name"`
	Description  string `json:"description"`
	Priority     string `json:"priority"`
	ByName       string `json:"by_name"`
	Files        []File `json:"files,omitempty"` // of the ticket

	attached bool // the mail has the files with it, see Attached
}

// TicketUnassigned notifies an engineer that a ticket is no longer assigned to
// them. NewAssigneeName is empty when it is unassigned, ByName when the change
// was automatic, Why when no reason was given.
type TicketUnassigned struct {
	Ticket
	To              Person `json:"to"`
	NewAssigneeName string `json:"new_assignee_name"`
	ByName          string `json:"by_name"`
	Why             string `json:"why"`
}

// TicketChanged reports changes of a ticket's fields, including its status.
// Resolution and LatestComment are empty when there is none that To may read;
// ActorName is empty for an automatic change.
type TicketChanged struct {
	Ticket
	To            Person   `json:"to"`
	Audience      Audience `json:"audience"`
	ActorName     string   `json:"actor_name"`
	Changes       []Change `json:"changes"`
	Resolution    string   `json:"resolution"`
	LatestComment string   `json:"latest_comment"`
}

// TicketCommented reports a new comment. Internal marks one that customers
// don't see; its recipients must be engineers and admins. Earlier is the message
// before it, nil when there is none that To may read.
type TicketCommented struct {
	Ticket
	To        Person   `json:"to"`
	Audience  Audience `json:"audience"` // not ToInternal: see Internal
	ActorName string   `json:"actor_name"`
	Body      string   `json:"body"`
	Internal  bool     `json:"internal"`
	Status    string   `json:"status,omitempty"` // new status after the comment; empty if it did not change
	Earlier   *Earlier `json:"earlier,omitempty"`
	Files     []File   `json:"files,omitempty"` // of the comment

	attached bool // the mail has the files with it, see Attached
}

// File is a file of a ticket or a comment, which mails name. Size is in bytes. ID is the zero
// UUID in facts of an earlier release.
type File struct {
	ID   uuid.UUID `json:"id,omitzero"`
	Name string    `json:"name"`
	Size int64     `json:"size"`
}

// Earlier is the comment, or the description of the ticket, that a comment
// follows.
type Earlier struct {
	AuthorName string    `json:"author_name"`
	At         time.Time `json:"at"`
	Body       string    `json:"body"`
}

// Kind is "ticket_received".
func (TicketReceived) Kind() string { return KindTicketReceived }

// Kind is "ticket_assigned".
func (TicketAssigned) Kind() string { return KindTicketAssigned }

// Kind is "ticket_unassigned".
func (TicketUnassigned) Kind() string { return KindTicketUnassigned }

// Kind is "ticket_changed".
func (TicketChanged) Kind() string { return KindTicketChanged }

// Kind is "ticket_commented".
func (TicketCommented) Kind() string { return KindTicketCommented }

// Decode reads a stored notice. It returns ErrUnknownKind for an unknown kind, and
// an error that doesn't quote the data for data that is no notice of that kind.
func Decode(kind string, data []byte) (Notice, error) {
	switch kind {
	case KindTicketReceived:
		return decode[TicketReceived](kind, data)
	case KindTicketAssigned:
		return decode[TicketAssigned](kind, data)
	case KindTicketUnassigned:
		return decode[TicketUnassigned](kind, data)
	case KindTicketChanged:
		return decode[TicketChanged](kind, data)
	case KindTicketCommented:
		return decode[TicketCommented](kind, data)
	}
	return decodeAccount(kind, data)
}

func decode[N Notice](kind string, data []byte) (Notice, error) {
	var n N
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, fmt.Errorf("decode the facts of %s: %w", kind, withoutValue(err))
	}
	return n, nil
}

// withoutValue keeps the place of a JSON error and drops the text, since facts
// must not be logged.
func withoutValue(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return fmt.Errorf("field %q can't be a %s", typ.Field, typ.Type)
	}
	return errors.New("not the JSON it should be")
}

// Package inbound takes mail in: it stores what comes by SMTP, LMTP or IMAP before it
// is acknowledged, reads it, applies delivery reports, and keeps all other mail for
// its consumer, who acknowledges each.
//
// A mail goes through two transactions. The first stores its bytes, and the sender's
// server is answered after that. The second reads them: what a mail contains can
// neither delay nor prevent that it is stored, and is read again after a crash.
package inbound

import (
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Mail is a stored mail.
type Mail struct {
	ID             uuid.UUID
	ReceivedAt     time.Time
	Source         notifyapi.InboundSource
	Status         notifyapi.InboundStatus
	Envelope       notifyapi.Envelope
	Content        notifyapi.InboundContent // of what its header says; empty while it is received
	Size           int64
	Arrivals       int // how often it came in
	Result         *string
	Reference      *string
	AcknowledgedAt *time.Time
}

// The limits of what is read of a mail. What is beyond them is in its bytes alone.
const (
	maxHeader     = 256 << 10 // bytes of the header
	maxMultiparts = 100       // parts that contain parts
	maxParts      = 1000
	maxText       = 1 << 20 // bytes of text, and of HTML
	maxAddresses  = 500     // of one header
	maxReferences = 200
	maxLine       = 2000 // bytes of a subject or a name
)

// The reasons why a mail is not taken apart, as people read them.
const (
	unparsedHeader  = "Its header is too large."
	unparsedNested  = "It has too many multipart parts."
	unparsedParts   = "It has too many parts."
	unparsedBroken  = "It is not well formed."
	unparsedCrashed = "Reading it failed several times."
)

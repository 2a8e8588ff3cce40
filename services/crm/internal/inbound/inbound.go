// Package inbound turns mail that came in into tickets and comments. The
// notification service receives and stores the mail; this package decides what becomes
// of each, once, and acknowledges it.
package inbound

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Outcome is what became of a mail.
type Outcome string

// The outcomes, as in the database and in JSON.
const (
	Ticket    Outcome = "ticket"    // a new ticket
	Comment   Outcome = "comment"   // a comment on a ticket
	Held      Outcome = "held"      // waits for a decision
	Refused   Outcome = "refused"   // somebody decided against it
	Ignored   Outcome = "ignored"   // automatic mail
	Duplicate Outcome = "duplicate" // the same mail as another one
)

// Outcomes are all of them. Don't modify.
var Outcomes = []Outcome{Ticket, Comment, Held, Refused, Ignored, Duplicate}

// Reason is why a mail is held or ignored.
type Reason string

// The reasons to hold a mail, and to ignore one.
const (
	HeldSender         Reason = "sender"         // its sender takes no part in the ticket
	HeldAuthentication Reason = "authentication" // its sender's domain disowns it (DMARC)
	HeldAudience       Reason = "audience"       // a staff member's address, at a reply address of a customer
	HeldAccount        Reason = "account"        // its sender's account is suspended, rejected or pending
	HeldLimit          Reason = "limit"          // its sender has reached the limit of an hour
	HeldAddress        Reason = "address"        // it is to no address of the help desk
	HeldNoSender       Reason = "no_sender"      // it has no sender that can be read
	HeldUnreadable     Reason = "unreadable"     // it can't be taken apart
	HeldFailed         Reason = "failed"         // processing it failed

	IgnoredAutomatic Reason = "automatic" // a program sent it
	IgnoredOwn       Reason = "own"       // it is from the help desk itself
)

// Reasons are all of them. Don't modify.
var Reasons = []Reason{
	HeldSender, HeldAuthentication, HeldAudience, HeldAccount, HeldLimit, HeldAddress, HeldNoSender, HeldUnreadable, HeldFailed,
	IgnoredAutomatic, IgnoredOwn,
}

// sender is the account of a mail's sender; the zero value is an address without one.
type sender struct {
	id       uuid.UUID
	role     string
	approved bool
}

func (s sender) known() bool { return s.id != uuid.Nil }
func (s sender) staff() bool { return s.approved && (s.role == "engineer" || s.role == "admin") }

// target is the ticket that a mail is about. audience is that of the reply address, and
// empty when only the headers name the ticket.
type target struct {
	ticket     uuid.UUID
	number     int64
	audience   Audience
	isReporter bool // the sender is its reporter
	follows    bool // the sender is a follower
}

// situation is everything that decides what becomes of a mail.
type situation struct {
	mail      notifyapi.InboundMail
	own       bool    // it is from an address of the help desk
	address   string  // of the sender, canonical; empty when it can't be read
	toSupport bool    // an address of the help desk is among its recipients
	target    *target // nil when it is about no ticket
	sender    sender
	released  bool // somebody decided that it is let in
}

// decision is what is to be done with a mail.
type decision struct {
	outcome  Outcome
	reason   Reason
	target   *target // of a comment, also a held one
	internal bool    // the comment is internal
	// confirmed means that the sender has shown to read mail at their address.
	confirmed bool
}

// decide applies the rules. Automatic mail has no effect, whoever sent it. A mail about a
// ticket is a comment if its sender takes part, else a held one; any other to the help
// desk is a new ticket. Nothing else is lost: it is held.
func (s situation) decide() decision {
	switch {
	case s.own:
		return decision{outcome: Ignored, reason: IgnoredOwn}
	case s.mail.Automatic != nil && !s.released:
		return decision{outcome: Ignored, reason: IgnoredAutomatic}
	case s.address == "":
		return decision{outcome: Held, reason: HeldNoSender}
	case s.mail.Unparsed != nil && !s.released:
		return decision{outcome: Held, reason: HeldUnreadable, target: s.target}
	}
	if s.target == nil {
		return s.decideTicket()
	}
	return s.decideComment()
}

func (s situation) decideTicket() decision {
	d := decision{outcome: Ticket, confirmed: s.passed()}
	switch {
	case s.sender.known() && !s.sender.approved:
		return decision{outcome: Held, reason: HeldAccount}
	case s.released:
	case s.failed():
		return decision{outcome: Held, reason: HeldAuthentication}
	case !s.toSupport:
		return decision{outcome: Held, reason: HeldAddress}
	}
	return d
}

func (s situation) decideComment() decision {
	t := s.target
	hold := func(why Reason) decision {
		return decision{outcome: Held, reason: why, target: t, internal: true}
	}
	d := decision{outcome: Comment, target: t, confirmed: s.passed()}
	switch {
	case s.sender.known() && !s.sender.approved:
		return hold(HeldAccount)
	case s.failed():
		return hold(HeldAuthentication)
	case t.isReporter:
		// Only the reporter was mailed this address.
		d.confirmed = d.confirmed || t.audience == ToReporter
		d.internal = s.sender.staff() && t.audience == ToInternal
	case t.follows:
	case !s.sender.staff():
		return hold(HeldSender)
	case t.audience == ToInternal || t.audience == "": // it may answer an internal comment
		d.internal = true
	case t.audience != ToStaff && !s.passed():
		return hold(HeldAudience)
	}
	return d
}

// failed and passed are the judgement of the receiving mail server; without one, both
// are false.
func (s situation) failed() bool {
	return s.mail.Authentication != nil && s.mail.Authentication.DMARC == "fail"
}

func (s situation) passed() bool {
	return s.mail.Authentication != nil && s.mail.Authentication.DMARC == "pass"
}

// addressed are all addresses to which a mail was sent, without repetitions: those of
// the header in their order, then those of the envelope.
func addressed(m notifyapi.InboundMail) []string {
	var all []string
	add := func(email string) {
		if email = strings.ToLower(email); email != "" && !slices.Contains(all, email) {
			all = append(all, email)
		}
	}
	for _, list := range [][]notifyapi.MailAddress{m.To, m.CC} {
		for _, a := range list {
			add(a.Email)
		}
	}
	for _, email := range m.Envelope.To {
		add(email)
	}
	return all
}

// threads are the tickets that a mail's In-Reply-To and References name, the nearest
// first. The Message-ID of a mail about a ticket, and the one that all of them refer to,
// begin with its thread (see notice.Message).
func threads(m notifyapi.InboundMail) []uuid.UUID {
	var found []uuid.UUID
	ids := slices.Clone(m.InReplyTo)
	for _, id := range slices.Backward(m.References) {
		ids = append(ids, id)
	}
	for _, id := range ids {
		local, _, _ := strings.Cut(id, "@")
		name, _, ok := strings.Cut(local, ".")
		text, isTicket := strings.CutPrefix(name, "ticket-")
		ticket, err := uuid.Parse(text)
		if ok && isTicket && err == nil && len(text) == 36 && !slices.Contains(found, ticket) {
			found = append(found, ticket)
		}
	}
	if len(found) > maxThreads {
		found = found[:maxThreads]
	}
	return found
}

// maxThreads is how many tickets a mail's headers can name; more are not looked for.
const maxThreads = 5

// fingerprint is the same for copies of one mail that came in by several addresses, and
// nil when that can't be known: without a Message-ID two equal mails may be meant.
func fingerprint(m notifyapi.InboundMail) []byte {
	if m.MessageID == "" || m.From == nil {
		return nil
	}
	files := make([]string, len(m.Attachments))
	for i, a := range m.Attachments {
		files[i] = a.SHA256
	}
	date := ""
	if m.Date != nil {
		date = m.Date.UTC().Format(time.RFC3339)
	}
	data, err := json.Marshal([]any{m.MessageID, strings.ToLower(m.From.Email), date, m.Subject, m.Text, m.HTML, files})
	if err != nil {
		return nil
	}
	sum := sha256.Sum256(data)
	return sum[:]
}

// maxRecipients is how many recipients of a mail are kept.
const maxRecipients = 100

// Recipient is somebody besides the help desk to whom a mail was sent.
type Recipient struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// others are the recipients of a mail besides its sender and the help desk.
func others(m notifyapi.InboundMail, sender string, ours func(string) bool) []Recipient {
	list := []Recipient{}
	seen := map[string]bool{sender: true}
	for _, a := range slices.Concat(m.To, m.CC) {
		email := strings.ToLower(a.Email)
		if len(list) < maxRecipients && !seen[email] && !ours(email) && email != "" && len(email) <= 254 {
			seen[email] = true
			list = append(list, Recipient{Name: clipped(oneLine(a.Name), 200), Email: email})
		}
	}
	return list
}

// clipped is s with at most that many characters.
func clipped(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return strings.TrimSpace(string(runes[:most]))
	}
	return s
}

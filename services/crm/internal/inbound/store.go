package inbound

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/address"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/ticket"
)

// Record is what is kept of a mail besides its text.
type Record struct {
	ID          uuid.UUID
	ReceivedAt  time.Time
	Outcome     Outcome
	Reason      Reason // empty for none
	From        Recipient
	Recipients  []Recipient // besides the help desk
	Subject     string
	MessageID   string
	TicketID    *uuid.UUID
	Number      *int64 // of the ticket
	CommentID   *uuid.UUID
	DecidedBy   *ticket.Person
	DecidedAt   *time.Time
	ProcessedAt time.Time
}

// canonical is an address as accounts have it; empty for what is none.
func canonical(email string) string {
	parsed, err := address.Parse(email)
	if err != nil {
		return ""
	}
	return parsed
}

func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// begin remembers a mail; it returns false for one that is known, or a copy of one.
func (s *Service) begin(ctx context.Context, q *crmdb.Queries, m notifyapi.InboundMail) (bool, error) {
	arg := crmdb.InboundBeginParams{
		ID: m.ID, ReceivedAt: m.ReceivedAt, ProcessedAt: s.Now(), Fingerprint: fingerprint(m),
		Subject: clipped(oneLine(m.Subject), 1000), MessageID: clipped(oneLine(m.MessageID), 1000), Recipients: []byte("[]"),
	}
	from := ""
	if m.From != nil {
		from = strings.ToLower(m.From.Email)
		arg.FromName, arg.FromEmail = clipped(oneLine(m.From.Name), 200), clipped(oneLine(m.From.Email), 320)
	}
	arg.Content, arg.Truncated = kept(m)
	if m.Automatic != nil {
		arg.Content = "" // the notification service has it
	}
	recipients, err := json.Marshal(others(m, from, s.Addresses.ours))
	if err != nil {
		return false, fmt.Errorf("encode recipients: %w", err)
	}
	arg.Recipients = recipients
	n, err := q.InboundBegin(ctx, arg)
	if err != nil {
		return false, fmt.Errorf("remember mail: %w", err)
	}
	return n == 1, nil
}

// known is what became of a mail before. A copy of another one is remembered as that.
func (s *Service) known(ctx context.Context, q *crmdb.Queries, m notifyapi.InboundMail) (result, error) {
	if err := q.InboundDuplicate(ctx, crmdb.InboundDuplicateParams{
		ID: m.ID, ReceivedAt: m.ReceivedAt, ProcessedAt: s.Now(), Fingerprint: fingerprint(m),
	}); err != nil {
		return result{}, fmt.Errorf("remember copy: %w", err)
	}
	o, err := read(ctx, q, m.ID)
	if err != nil {
		return result{}, err
	}
	r := result{outcome: o.Outcome, reason: o.Reason}
	if o.TicketID != nil {
		r.ticket = *o.TicketID
	}
	return r, nil
}

func finish(ctx context.Context, q *crmdb.Queries, id uuid.UUID, r result) error {
	arg := crmdb.InboundFinishParams{
		ID: id, Outcome: crmdb.InboundOutcome(r.outcome), SenderID: orNull(r.sender), TicketID: orNull(r.ticket), CommentID: orNull(r.comment),
	}
	if r.reason != "" {
		reason := string(r.reason)
		arg.Reason = &reason
	}
	if err := q.InboundFinish(ctx, arg); err != nil {
		return fmt.Errorf("remember what became of a mail: %w", err)
	}
	return nil
}

func read(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Original, error) {
	row, err := q.InboundGet(ctx, id)
	if err != nil {
		return Original{}, missing("read mail", err)
	}
	r, err := recordOf(crmdb.InboundListRow{
		ID: row.ID, ReceivedAt: row.ReceivedAt, ProcessedAt: row.ProcessedAt, Outcome: row.Outcome, Reason: row.Reason, SenderID: row.SenderID,
		FromName: row.FromName, FromEmail: row.FromEmail, Recipients: row.Recipients, Subject: row.Subject, MessageID: row.MessageID,
		TicketID: row.TicketID, CommentID: row.CommentID, TicketNumber: row.TicketNumber,
		DecidedBy: row.DecidedBy, DecidedByName: row.DecidedByName, DecidedAt: row.DecidedAt,
	})
	return Original{Record: r, Text: row.Content, Truncated: row.Truncated}, err
}

func recordOf(row crmdb.InboundListRow) (Record, error) {
	r := Record{
		ID: row.ID, ReceivedAt: row.ReceivedAt, ProcessedAt: row.ProcessedAt, Outcome: Outcome(row.Outcome),
		From: Recipient{row.FromName, row.FromEmail}, Subject: row.Subject, MessageID: row.MessageID,
		TicketID: row.TicketID, Number: row.TicketNumber, CommentID: row.CommentID, DecidedAt: row.DecidedAt,
	}
	if row.Reason != nil {
		r.Reason = Reason(*row.Reason)
	}
	if row.DecidedBy != nil {
		r.DecidedBy = &ticket.Person{ID: *row.DecidedBy, Name: row.DecidedByName}
	}
	if err := json.Unmarshal(row.Recipients, &r.Recipients); err != nil {
		return r, fmt.Errorf("read the recipients of a mail: %w", err)
	}
	return r, nil
}

// Original returns what is kept of a mail, with its text; errs.Missing for an unknown one.
func (s *Service) Original(ctx context.Context, id uuid.UUID) (Original, error) {
	return read(ctx, crmdb.New(s.Pool), id)
}

// Record returns what is kept of a mail besides its text.
func (s *Service) Record(ctx context.Context, id uuid.UUID) (Record, error) {
	o, err := s.Original(ctx, id)
	return o.Record, err
}

// Position is a place in the list of mails.
type Position struct {
	At time.Time `json:"at"`
	ID uuid.UUID `json:"id"`
}

// List lists mails, newest first, at most n that follow the position; nil is the
// beginning. An empty outcome means all.
func (s *Service) List(ctx context.Context, outcome Outcome, after *Position, n int) ([]Record, error) {
	if after == nil {
		after = &Position{At: s.Now().AddDate(100, 0, 0), ID: uuid.Max}
	}
	arg := crmdb.InboundListParams{BeforeAt: after.At, BeforeID: after.ID, Most: int32(n)} //nolint:gosec // a page has at most 100
	if outcome != "" {
		arg.Outcome = (*crmdb.InboundOutcome)(&outcome)
	}
	rows, err := crmdb.New(s.Pool).InboundList(ctx, arg)
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	records := make([]Record, len(rows))
	for i, row := range rows {
		if records[i], err = recordOf(row); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// isKnown reports whether a mail, or a copy of it, was processed.
func (s *Service) isKnown(ctx context.Context, q *crmdb.Queries, m notifyapi.InboundMail) (bool, error) {
	known, err := q.InboundKnown(ctx, crmdb.InboundKnownParams{ID: m.ID, Fingerprint: fingerprint(m)})
	if err != nil {
		return false, fmt.Errorf("look for mail: %w", err)
	}
	return known, nil
}

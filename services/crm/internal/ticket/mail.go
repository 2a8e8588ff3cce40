package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// CommentMail is what a comment that came by mail has besides.
type CommentMail struct {
	CC   []MailPerson `json:"cc"`   // the other recipients of the mail
	Held *Hold        `json:"held"` // nil when it was never held
}

// MailPerson is somebody whom a mail names.
type MailPerson struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// HoldStatus is what became of a held comment.
type HoldStatus string

// The statuses of a held comment.
const (
	HoldWaiting  HoldStatus = "waiting"  // for a decision
	HoldReleased HoldStatus = "released" // let in: an ordinary comment since
	HoldRefused  HoldStatus = "refused"  // stays internal
)

// Hold is why a comment is held, as package inbound names it, and what was decided.
type Hold struct {
	Status HoldStatus `json:"status"`
	Reason string     `json:"reason"`
}

// mailOf reads the mail of a comment.
func mailOf(r crmdb.CommentListRow) (*CommentMail, error) {
	if !r.ByMail {
		return nil, nil
	}
	m := &CommentMail{}
	if err := json.Unmarshal(r.MailRecipients, &m.CC); err != nil {
		return nil, fmt.Errorf("read the recipients of a mail: %w", err)
	}
	switch crmdb.InboundOutcome(r.MailOutcome) {
	case crmdb.InboundOutcomeHeld:
		m.Held = &Hold{HoldWaiting, r.MailReason}
	case crmdb.InboundOutcomeRefused:
		m.Held = &Hold{HoldRefused, r.MailReason}
	case crmdb.InboundOutcomeComment:
		if r.MailDecided {
			m.Held = &Hold{HoldReleased, r.MailReason}
		}
	}
	return m, nil
}

// ErrClosedTooLong means that a comment no longer reopens the ticket.
var ErrClosedTooLong = errors.New("the ticket was closed long ago")

// ByMail is a comment or a ticket that came by mail. NoReceipt and Title are for
// tickets, Internal for comments. Unlimited is for what somebody let in.
type ByMail struct {
	Title     string
	Body      string
	Internal  bool
	NoReceipt bool
	Unlimited bool
	Files     []uuid.UUID // of the author, that belong to nothing yet
}

// CommentByMail writes a comment that came by mail in the caller's transaction; the
// caller has decided that its author may write it. Its effect is that of AddComment.
// The errors are ErrClosedTooLong and rate_limited, before anything is written. Call
// Changed after the commit.
func (s *Service) CommentByMail(ctx context.Context, q *crmdb.Queries, author Viewer, id uuid.UUID, in ByMail) (Comment, error) {
	t, now, err := s.lock(ctx, q, id)
	if err != nil {
		return Comment{}, err
	}
	c := in.comment(author, id, now)
	if author.ID == t.Reporter.ID && !c.Internal {
		if _, refusal := t.afterCommentOfReporter(now, s.reopenWithin); refusal == ClosedTooLong {
			return Comment{}, ErrClosedTooLong
		}
	}
	if err := s.hitLimit(ctx, q, author, commentsPerHour, now); err != nil {
		return Comment{}, err
	}
	return c, s.addByMail(ctx, q, author, t, c, in)
}

// HoldComment stores an internal comment whose effect waits for a decision, in the
// caller's transaction. Only staff are notified.
func (s *Service) HoldComment(ctx context.Context, q *crmdb.Queries, author Viewer, id uuid.UUID, in ByMail) (Comment, error) {
	t, now, err := s.lock(ctx, q, id)
	if err != nil {
		return Comment{}, err
	}
	in.Internal = true
	c := in.comment(author, id, now)
	return c, s.addByMail(ctx, q, author, t, c, in)
}

func (in ByMail) comment(author Viewer, ticket uuid.UUID, now time.Time) Comment {
	return Comment{
		ID: uuid.Must(uuid.NewV7()), TicketID: ticket, Author: Person{ID: author.ID, Name: author.Name}, Body: in.Body, Internal: in.Internal,
		CreatedAt: now, HasFiles: len(in.Files) > 0, Mail: &CommentMail{},
	}
}

func (s *Service) addByMail(ctx context.Context, q *crmdb.Queries, author Viewer, t Ticket, c Comment, in ByMail) error {
	if err := attachment.Lock(ctx, q, author.ID, in.Files); err != nil {
		return err
	}
	files, err := attachment.Names(ctx, q, in.Files)
	if err != nil {
		return err
	}
	if _, err := s.writeComment(ctx, at(q), author, t, c, files); err != nil {
		return err
	}
	return attachment.Attach(ctx, q, t.ID, &c.ID, in.Files)
}

// CreateByMail creates a ticket of a mail for its sender in the caller's transaction.
// The error is rate_limited beyond PerHour. Call Changed after the commit.
func (s *Service) CreateByMail(ctx context.Context, q *crmdb.Queries, reporter Viewer, in ByMail) (Ticket, error) {
	now := s.now().UTC().Truncate(time.Microsecond)
	t := New{Title: in.Title, Description: in.Body, Priority: Normal, AttachmentIDs: in.Files}.by(Person{ID: reporter.ID, Name: reporter.Name, Email: reporter.Email}, now)
	files, err := attachment.Names(ctx, q, in.Files)
	if err != nil {
		return Ticket{}, err
	}
	arg, err := createParams(ctx, reporter, t, files, nil)
	if err != nil {
		return Ticket{}, err
	}
	arg.NoReceipt, arg.Waits = in.NoReceipt, true
	l, limited := s.limit(reporter, ticketsPerHour)
	if limited = limited && !in.Unlimited; limited {
		arg.LimitKey, arg.LimitSeconds, arg.LimitMost = l.Key(reporter.ID), l.Span().Seconds(), l.Max()
	}
	if err := attachment.Lock(ctx, q, reporter.ID, in.Files); err != nil {
		return Ticket{}, err
	}
	row, err := q.TicketCreate(ctx, arg)
	if limited && errors.Is(err, pgx.ErrNoRows) {
		return Ticket{}, l.Refusal(ctx, q, reporter.ID, now)
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("create ticket: %w", err)
	}
	return t.created(row), attachment.Attach(ctx, q, t.ID, nil, in.Files)
}

// Changed wakes what publishes changes, after the commit of a transaction of the
// caller's.
func (s *Service) Changed() { s.changed() }

// lock locks and reads a ticket.
func (s *Service) lock(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Ticket, time.Time, error) {
	if _, err := q.TicketLock(ctx, id); err != nil {
		return Ticket{}, time.Time{}, missing("lock ticket", err)
	}
	t, err := read(ctx, q, id)
	return t, assignment.TimeOfChange(s.now(), t.UpdatedAt), err
}

// MayDecide reports whether the viewer decides about held comments on a ticket: its
// assignee and admins do.
func (v Viewer) MayDecide(t Ticket) bool { return partyOf(v, t)&(AsAssignee|AsAdmin) != 0 }

// DecideComment lets a held comment in, or refuses it. Let in, it becomes a public
// comment with its effect on the ticket and its notices; refused, it stays internal.
// The errors are not_found for a comment that did not come by mail, forbidden for other
// staff, and already_decided.
func (s *Service) DecideComment(ctx context.Context, v Viewer, ticketID, commentID uuid.UUID, letIn bool) error {
	_, err := s.change(ctx, v, ticketID, func(u unit, t Ticket, now time.Time) (Ticket, error) {
		row, err := u.q.CommentOfMail(ctx, crmdb.CommentOfMailParams{ID: commentID, TicketID: ticketID})
		if err != nil {
			return t, missing("get held comment", err)
		}
		switch {
		case !v.MayDecide(t):
			return t, errs.New(errs.Forbidden, errs.CodeForbidden, "Only the ticket's assignee or an admin decides about held comments.")
		case row.Outcome != crmdb.InboundOutcomeHeld || row.RemovedAt != nil:
			return t, errs.New(errs.Conflict, errs.CodeAlreadyDecided, "This comment is not held any more.")
		}
		outcome, kind := crmdb.InboundOutcomeRefused, EventCommentRefused
		if letIn {
			outcome, kind = crmdb.InboundOutcomeComment, EventCommentReleased
		}
		if err := u.q.InboundDecide(ctx, crmdb.InboundDecideParams{
			ID: row.MailID, Outcome: outcome, TicketID: &ticketID, CommentID: &commentID, DecidedBy: v.ID, Now: now,
		}); err != nil {
			return t, fmt.Errorf("decide about a mail: %w", err)
		}
		if err := addEvent(ctx, u.q, ticketID, kind, v.ID, true, changesOfComment(Comment{ID: commentID, Internal: !letIn}), now); err != nil || !letIn {
			return t, err
		}
		return s.releaseComment(ctx, u, t, row, now)
	})
	return err
}

// releaseComment makes a held comment public.
func (s *Service) releaseComment(ctx context.Context, u unit, before Ticket, row crmdb.CommentOfMailRow, now time.Time) (Ticket, error) {
	author := Viewer{ID: row.AuthorID, Name: row.AuthorName, Email: row.AuthorEmail, Role: string(row.AuthorRole)}
	c := Comment{ID: row.ID, TicketID: before.ID, Author: Person{ID: author.ID, Name: author.Name}, Body: row.Body, CreatedAt: now}
	after, err := s.afterComment(author, before, c)
	if err != nil {
		return Ticket{}, err
	}
	earlier, err := u.messageBefore(ctx, before, false)
	if err != nil {
		return Ticket{}, err
	}
	n, err := u.q.CommentRelease(ctx, row.ID)
	if err != nil {
		return Ticket{}, fmt.Errorf("release comment: %w", err)
	}
	if n != 1 {
		return Ticket{}, errs.Missing()
	}
	if err := addEvent(ctx, u.q, before.ID, EventCommented, author.ID, false, changesOfComment(c), now); err != nil {
		return Ticket{}, err
	}
	files, err := attachment.NamesOfComment(ctx, u.q, c.ID)
	if err != nil {
		return Ticket{}, err
	}
	return after, publishComment(ctx, u, author, before, after, notice.TicketCommented{Body: c.Body, Earlier: earlier, Files: files}, c.CreatedAt)
}

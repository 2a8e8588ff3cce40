package ticket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Service holds the use cases of tickets. Each method that changes something is
// one transaction that also writes the event and the notices of the change.
type Service struct {
	pool         *pgxpool.Pool
	mails        *notifyapi.Client
	now          func() time.Time
	changed      func()
	reopenWithin time.Duration
	perHour      int
}

// Config has the dependencies and settings of the service.
type Config struct {
	Pool *pgxpool.Pool
	// Mails has the results of a ticket's mails.
	Mails *notifyapi.Client
	Now   func() time.Time
	// Changed is called after each commit, which may have written events and
	// notices to be published. It must not block.
	Changed func()
	// ReopenWithin is how long after its closing a comment of the reporter
	// reopens a ticket.
	ReopenWithin time.Duration
	// PerHour is how many tickets a customer may create, and how many comments they
	// may write, in any hour; 0 is no limit. Staff have none.
	PerHour int
}

// NewService makes the service.
func NewService(c Config) *Service {
	return &Service{pool: c.Pool, mails: c.Mails, now: c.Now, changed: c.Changed, reopenWithin: c.ReopenWithin, perHour: c.PerHour}
}

// Find returns the id of the ticket with this number. It does not check whether
// the caller may see the ticket; the use of the id does.
func (s *Service) Find(ctx context.Context, number int64) (uuid.UUID, error) {
	id, err := crmdb.New(s.pool).TicketFind(ctx, number)
	if err != nil {
		return uuid.Nil, missing("find ticket", err)
	}
	return id, nil
}

// Get returns a ticket that the viewer may see; the error is errs.Missing for any
// other.
func (s *Service) Get(ctx context.Context, v Viewer, id uuid.UUID) (Ticket, error) {
	q := crmdb.New(s.pool)
	t, err := read(ctx, q, id)
	if err == nil {
		err = visible(ctx, q, v, t)
	}
	if err != nil {
		return Ticket{}, err
	}
	return t, nil
}

// visible returns nil for a ticket that the viewer may see, and errs.Missing for any
// other.
func visible(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket) error {
	if v.CanSee(t, false) {
		return nil
	}
	follows, err := q.FollowerExists(ctx, crmdb.FollowerExistsParams{TicketID: t.ID, UserID: v.ID})
	if err != nil {
		return fmt.Errorf("look for a follower: %w", err)
	}
	if !v.CanSee(t, follows) {
		return errs.Missing()
	}
	return nil
}

// MayRead returns nil when the viewer may read the ticket and, with internal, the
// internal comments on it; errs.Missing otherwise.
func (s *Service) MayRead(ctx context.Context, v Viewer, id uuid.UUID, internal bool) error {
	if internal && !v.Staff() {
		return errs.Missing()
	}
	_, err := s.Get(ctx, v, id)
	return err
}

// files lists the files of a ticket itself.
func (s *Service) files(ctx context.Context, t Ticket) ([]attachment.Attachment, error) {
	if !t.HasFiles {
		return nil, nil
	}
	return attachment.OfTicket(ctx, crmdb.New(s.pool), t.ID)
}

// filesOf lists the files of comments, by the comment's id.
func (s *Service) filesOf(ctx context.Context, comments ...Comment) (map[uuid.UUID][]attachment.Attachment, error) {
	var ids []uuid.UUID
	for _, c := range comments {
		if c.HasFiles && c.RemovedAt == nil {
			ids = append(ids, c.ID)
		}
	}
	return attachment.OfComments(ctx, crmdb.New(s.pool), ids)
}

// change locks the ticket's row, runs fn in the same transaction, and calls
// Changed after the commit. It repeats all of that as pg.Retry does. now is the
// time of the change (see assignment.TimeOfChange).
func (s *Service) change(ctx context.Context, v Viewer, id uuid.UUID, fn func(q *crmdb.Queries, t Ticket, now time.Time) (Ticket, error)) (Ticket, error) {
	var after Ticket
	err := pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			if _, err := q.TicketLock(ctx, id); err != nil {
				return missing("lock ticket", err)
			}
			t, err := read(ctx, q, id)
			if err != nil {
				return err
			}
			if err := visible(ctx, q, v, t); err != nil {
				return err
			}
			after, err = fn(q, t, assignment.TimeOfChange(s.now(), t.UpdatedAt))
			return err
		})
	})
	if err != nil {
		return Ticket{}, err
	}
	s.changed()
	return after, nil
}

func missing(operation string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.Missing()
	}
	return fmt.Errorf("%s: %w", operation, err)
}

func about(t Ticket) notice.Ticket {
	return notice.Ticket{ID: t.ID, Number: t.Number, Title: t.Title}
}

func (v Viewer) person() *notice.Person {
	return &notice.Person{ID: v.ID, Name: v.Name, Email: v.Email}
}

// refused returns the error for a refusal. For a forbidden step it names the
// possible ones.
func refused(r Refusal, t Ticket, p Party) error {
	switch r {
	case NotYours:
		return errs.New(errs.Forbidden, errs.CodeForbidden, "Only the ticket's reporter, its assignee or an admin may do this.")
	case FieldNotYours:
		return errs.New(errs.Forbidden, errs.CodeForbidden,
			"Only the assignee or an admin may set the resolution and the blocked reason, and the priority of an accepted ticket.")
	case NotActive:
		return errs.New(errs.Conflict, errs.CodeConflict, "Title and description can be edited while the ticket is open, in progress or blocked. Reopen it first.")
	case NoSuchStep:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, stepsInWords(t.Status, possible(t.Status, p)))
	case NeedsAssignee:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, "This ticket has no assignee. Assign it to an engineer first.")
	case AssigneeGone:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, "The assignee is no longer an engineer. Change the status to open, so that the ticket is assigned to another one.")
	case NeedsResolution:
		return errs.Validation(errs.Field{Location: "body.resolution", Message: "is required to resolve a ticket"})
	case NoResolutionNow:
		return errs.Validation(errs.Field{Location: "body.resolution", Message: "is allowed only with the status resolved"})
	case Accepted:
		return errs.New(errs.Conflict, errs.CodeAlreadyAccepted, "An engineer has already accepted this ticket.")
	case NotBlocked:
		return errs.Validation(errs.Field{Location: "body.status", Message: "must be blocked for a blocked_reason or waiting_for"})
	case ClosedTooLong:
		return errs.New(errs.Conflict, errs.CodeConflict, "A comment no longer reopens this ticket, since it was closed long ago. Create a new ticket.")
	case Allowed:
	}
	return nil
}

func stepsInWords(from Status, to []Status) string {
	if len(to) == 0 {
		return "This ticket is " + string(from) + ": you can't change its status."
	}
	names := make([]string, len(to))
	for i, s := range to {
		names[i] = string(s)
	}
	return "This ticket is " + string(from) + "; you can change its status to: " + strings.Join(names, ", ") + "."
}

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

// Config is what the service is made of.
type Config struct {
	Pool *pgxpool.Pool
	// Mails is asked what became of a ticket's mails.
	Mails *notifyapi.Client
	Now   func() time.Time
	// Changed is called after each commit, which may have left events and notices
	// to be published. It must not block.
	Changed func()
	// ReopenWithin is how long after its closing a comment of the reporter
	// reopens a ticket.
	ReopenWithin time.Duration
	// PerHour is how many tickets a customer raises, and how many comments a
	// customer writes, in any hour; 0 is no limit. Staff have none.
	PerHour int
}

// NewService makes the service.
func NewService(c Config) *Service {
	return &Service{pool: c.Pool, mails: c.Mails, now: c.Now, changed: c.Changed, reopenWithin: c.ReopenWithin, perHour: c.PerHour}
}

// Find gives the id of the ticket with this number, for callers who may not see
// it too: what they do with the id decides that.
func (s *Service) Find(ctx context.Context, number int64) (uuid.UUID, error) {
	id, err := crmdb.New(s.pool).TicketFind(ctx, number)
	if err != nil {
		return uuid.Nil, missing("find ticket", err)
	}
	return id, nil
}

// Get returns a ticket that the viewer may see; errs.Missing for any other.
func (s *Service) Get(ctx context.Context, v Viewer, id uuid.UUID) (Ticket, error) {
	t, err := read(ctx, crmdb.New(s.pool), id)
	if err != nil {
		return Ticket{}, err
	}
	if !v.CanSee(t) {
		return Ticket{}, errs.Missing()
	}
	return t, nil
}

// change runs fn in a transaction on the ticket, whose row it has locked, and
// calls Changed after the commit. A lost race runs the whole again. now is the
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
			if !v.CanSee(t) {
				return errs.Missing()
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

// refused puts a refusal into words. The steps that are possible are named, so
// that the client needn't guess.
func refused(r Refusal, t Ticket, p Party) error {
	switch r {
	case NotYours:
		return errs.New(errs.Forbidden, errs.CodeForbidden, "Only the ticket's reporter, its assignee or an admin may do this.")
	case FieldNotYours:
		return errs.New(errs.Forbidden, errs.CodeForbidden,
			"Only the assignee or an admin sets the resolution and why the ticket is blocked, and the priority once it was accepted.")
	case NotActive:
		return errs.New(errs.Conflict, errs.CodeConflict, "Title and description can be edited while the ticket is open, in progress or blocked. Reopen it first.")
	case NoSuchStep:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, stepsInWords(t.Status, possible(t.Status, p)))
	case NeedsAssignee:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, "Nobody works on this ticket yet: assign it to an engineer first.")
	case AssigneeGone:
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, "Its engineer can't work on tickets any more. Take it to open, and it is assigned to another.")
	case NeedsResolution:
		return errs.Validation(errs.Field{Location: "body.resolution", Message: "is needed to resolve a ticket: say what fixed it"})
	case NoResolutionNow:
		return errs.Validation(errs.Field{Location: "body.resolution", Message: "goes with the status resolved"})
	case Accepted:
		return errs.New(errs.Conflict, errs.CodeAlreadyAccepted, "An engineer has accepted this ticket already.")
	case NotBlocked:
		return errs.Validation(errs.Field{Location: "body.status", Message: "must be blocked for a blocked_reason or waiting_for"})
	case ClosedTooLong:
		return errs.New(errs.Conflict, errs.CodeConflict, "This ticket was closed too long ago to be reopened by a comment. Raise a new one.")
	case Allowed:
	}
	return nil
}

func stepsInWords(from Status, to []Status) string {
	if len(to) == 0 {
		return "This ticket is " + string(from) + ": you can't change its status now."
	}
	names := make([]string, len(to))
	for i, s := range to {
		names[i] = string(s)
	}
	return "This ticket is " + string(from) + "; from here you can take it to: " + strings.Join(names, ", ") + "."
}

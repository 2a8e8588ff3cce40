package ticket

import (
	"context"
	"encoding/json"
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
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Service holds the use cases of tickets. Each method that changes something is
// one transaction that also writes the event and the notices of the change.
type Service struct {
	pool  *pgxpool.Pool
	mails *notifyapi.Client
	now   func() time.Time
	told  func()
}

// NewService makes the service. mails is where it asks what became of a
// ticket's mails. told is called after each commit, which may have left events
// for the feed and notices to be posted; it must not block.
func NewService(pool *pgxpool.Pool, mails *notifyapi.Client, now func() time.Time, told func()) *Service {
	return &Service{pool: pool, mails: mails, now: now, told: told}
}

// Get returns a ticket that the viewer may see; errs.Missing for any other.
func (s *Service) Get(ctx context.Context, v Viewer, id uuid.UUID) (Ticket, error) {
	row, err := crmdb.New(s.pool).TicketGet(ctx, id)
	if err != nil {
		return Ticket{}, missing("get ticket", err)
	}
	t := FromRow(crmdb.TicketLockRow(row))
	if !v.CanSee(t) {
		return Ticket{}, errs.Missing()
	}
	return t, nil
}

// change runs fn in a transaction on the ticket, whose row it has locked, and
// wakes the relay after the commit. A lost race runs the whole again.
func (s *Service) change(ctx context.Context, v Viewer, id uuid.UUID, fn func(q *crmdb.Queries, t Ticket) (Ticket, error)) (Ticket, error) {
	var after Ticket
	err := pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			row, err := q.TicketLock(ctx, id)
			if err != nil {
				return missing("lock ticket", err)
			}
			t := FromRow(row)
			if !v.CanSee(t) {
				return errs.Missing()
			}
			after, err = fn(q, t)
			return err
		})
	})
	if err != nil {
		return Ticket{}, err
	}
	s.told()
	return after, nil
}

// read gives the ticket as it stands in the transaction.
func read(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Ticket, error) {
	row, err := q.TicketGet(ctx, id)
	if err != nil {
		return Ticket{}, fmt.Errorf("read ticket: %w", err)
	}
	return FromRow(crmdb.TicketLockRow(row)), nil
}

func missing(operation string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errs.Missing()
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// FromRow makes a ticket of its row with the names of its people.
func FromRow(r crmdb.TicketLockRow) Ticket {
	t := Ticket{
		ID: r.ID, Number: r.Number, Title: r.Title, Description: r.Description,
		Status: Status(r.Status), Priority: Priority(r.Priority),
		Reporter:   Person{ID: r.ReporterID, Name: r.ReporterName},
		Resolution: r.Resolution, Version: int(r.Version),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		AcceptedAt: r.AcceptedAt, ResolvedAt: r.ResolvedAt, ClosedAt: r.ClosedAt,
	}
	if r.AssigneeID != nil {
		t.Assignee = &Person{ID: *r.AssigneeID, Name: r.AssigneeName}
	}
	return t
}

// addEvent records what happened; changes becomes the event's JSON object.
func addEvent(ctx context.Context, q *crmdb.Queries, t uuid.UUID, kind string, actor uuid.UUID, internal bool, changes map[string]any, now time.Time) error {
	data, err := json.Marshal(changes)
	if err != nil {
		return fmt.Errorf("encode changes: %w", err)
	}
	if err := q.TicketEventAdd(ctx, crmdb.TicketEventAddParams{
		ID: uuid.Must(uuid.NewV7()), TicketID: t, Kind: kind, ActorID: &actor, Internal: internal, Changes: data, CreatedAt: now,
	}); err != nil {
		return fmt.Errorf("add event: %w", err)
	}
	return nil
}

// changesJSON is the changes of an event: each field's value before and after.
func changesJSON(changes []Change) map[string]any {
	m := make(map[string]any, len(changes))
	for _, c := range changes {
		m[c.Field] = map[string]*string{"from": c.From, "to": c.To}
	}
	return m
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
		return errs.New(errs.Forbidden, errs.CodeForbidden, "Only the assignee or an admin sets priority and resolution.")
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

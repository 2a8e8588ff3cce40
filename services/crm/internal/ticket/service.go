package ticket

import (
	"cmp"
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
	// rows reads tickets outside of transactions.
	rows *pg.SharedRows[uuid.UUID, *crmdb.TicketGetManyRow]
}

// Config has the dependencies and settings of the service.
type Config struct {
	Pool  *pgxpool.Pool
	Reads *pg.Shared // of Pool, for what is read together with others; nil for one of its own
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
	s := &Service{pool: c.Pool, mails: c.Mails, now: c.Now, changed: c.Changed, reopenWithin: c.ReopenWithin, perHour: c.PerHour}
	s.rows = pg.NewSharedRows(cmp.Or(c.Reads, pg.NewShared(c.Pool, c.Now)), readMany)
	return s
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
	return s.get(ctx, v, s.rows.Ask(id))
}

// asked is a ticket that is being read.
type asked = pg.Asked[uuid.UUID, *crmdb.TicketGetManyRow]

func (s *Service) get(ctx context.Context, v Viewer, a asked) (Ticket, error) {
	row, found, err := a.Get(ctx)
	if err != nil {
		return Ticket{}, fmt.Errorf("read ticket: %w", err)
	}
	if !found {
		return Ticket{}, errs.Missing()
	}
	t := FromRow(crmdb.TicketGetRow(*row))
	if err := visible(ctx, crmdb.New(s.pool), v, t); err != nil {
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

// readMany reads tickets by their ids.
func readMany(ctx context.Context, db pg.DBTX, ids []uuid.UUID) (map[uuid.UUID]*crmdb.TicketGetManyRow, error) {
	rows, err := crmdb.New(db).TicketGetMany(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]*crmdb.TicketGetManyRow, len(rows))
	for i := range rows {
		found[rows[i].ID] = &rows[i]
	}
	return found, nil
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

// unit has the statements of one change. Those of q run at once, those of later are
// sent with the next of q or with the commit; nobody reads their results.
type unit struct {
	q, later *crmdb.Queries
	ahead    *ahead
}

// ahead is what was read together with the ticket; nil where nothing was.
type ahead struct {
	audience []crmdb.TicketAudienceRow
	comment  *crmdb.CommentLatestRow // the public one; nil for none
}

// at is the unit of a transaction of the caller's.
func at(q *crmdb.Queries) unit { return unit{q: q, later: q} }

// audience lists the people whom a change of the ticket concerns.
func (u unit) audience(ctx context.Context, id uuid.UUID) ([]crmdb.TicketAudienceRow, error) {
	if u.ahead != nil {
		return u.ahead.audience, nil
	}
	audience, err := u.q.TicketAudience(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list audience: %w", err)
	}
	return audience, nil
}

// change locks the ticket's row, runs fn in the same transaction, and calls
// Changed after the commit. It repeats all of that as pg.Retry does. now is the
// time of the change (see assignment.TimeOfChange).
func (s *Service) change(ctx context.Context, v Viewer, id uuid.UUID, fn func(u unit, t Ticket, now time.Time) (Ticket, error)) (Ticket, error) {
	var after Ticket
	err := pg.Retry(ctx, func() error {
		return pg.InTx(ctx, s.pool, func(tx *pg.Tx) error {
			u := unit{q: crmdb.New(tx), later: crmdb.New(tx.Later()), ahead: &ahead{}}
			t, err := u.lock(ctx, tx, id)
			if err != nil {
				return err
			}
			if err := visible(ctx, u.q, v, t); err != nil {
				return err
			}
			after, err = fn(u, t, assignment.TimeOfChange(s.now(), t.UpdatedAt))
			return err
		})
	})
	if err != nil {
		return Ticket{}, err
	}
	s.changed()
	return after, nil
}

// lock locks a ticket, and then reads it and what most changes need, so that they see
// what was committed while the lock was waited for.
func (u unit) lock(ctx context.Context, tx *pg.Tx, id uuid.UUID) (t Ticket, err error) {
	err = tx.Together(ctx,
		func(db pg.DBTX) error {
			_, err := crmdb.New(db).TicketLock(ctx, id)
			return missing("lock ticket", err)
		},
		func(db pg.DBTX) (err error) {
			t, err = read(ctx, crmdb.New(db), id)
			return err
		},
		func(db pg.DBTX) (err error) {
			u.ahead.audience, err = unit{q: crmdb.New(db)}.audience(ctx, id)
			return err
		},
		func(db pg.DBTX) (err error) {
			u.ahead.comment, err = unit{q: crmdb.New(db)}.latest(ctx, id, false)
			return err
		})
	return t, err
}

func missing(operation string, err error) error {
	if err == nil {
		return nil
	}
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

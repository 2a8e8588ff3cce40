package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/text"
	"fixdesk/pkg/tracing"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/notice"
)

// New is a ticket to be created. ReporterEmail, for staff only, is the address of
// the customer on whose behalf it is created; for an address without an account a
// customer with the name ReporterName is created.
type New struct {
	Title       string
	Description string
	Priority    Priority

	ReporterEmail string
	ReporterName  string

	// AttachmentIDs are files that the viewer uploaded and that belong to nothing yet.
	AttachmentIDs []uuid.UUID
}

// Create creates a ticket and assigns it to an approved engineer, if any, in the
// same transaction. With a key, the same request again returns the first answer;
// see Once for the errors. The error is rate_limited beyond PerHour, and
// validation_failed for a file that can't be attached.
func (s *Service) Create(ctx context.Context, v Viewer, in New, once *Once) (Ticket, error) {
	if in.ReporterEmail != "" && !v.Staff() {
		return Ticket{}, errs.New(errs.Forbidden, errs.CodeForbidden, "Only engineers and admins may create tickets for others.")
	}
	t, row, err := s.create(ctx, v, in, once)
	if errors.Is(err, pgx.ErrNoRows) || once != nil && (once.spent(err) || errors.Is(err, attachment.ErrNotFree)) {
		return s.notCreated(ctx, v, in, once, err)
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("create ticket: %w", err)
	}
	s.changed()
	return t.created(row), nil
}

// create creates the ticket in one statement, after its reporter if needed.
func (s *Service) create(ctx context.Context, v Viewer, in New, once *Once) (t Ticket, row crmdb.TicketCreateRow, err error) {
	now := s.now().UTC().Truncate(time.Microsecond)
	if in.ReporterEmail == "" && len(in.AttachmentIDs) == 0 {
		t = in.by(Person{ID: v.ID, Name: v.Name, Email: v.Email}, now)
		row, err = s.insertAlone(ctx, v, t, once)
		return t, row, err
	}
	err = pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			q := crmdb.New(tx)
			if err := attachment.Lock(ctx, q, v.ID, in.AttachmentIDs); err != nil {
				return err
			}
			reporter := Person{ID: v.ID, Name: v.Name, Email: v.Email}
			if in.ReporterEmail != "" {
				if reporter, err = ensureReporter(ctx, q, v, in, now); err != nil {
					return err
				}
			}
			files, err := attachment.Names(ctx, q, in.AttachmentIDs)
			if err != nil {
				return err
			}
			t = in.by(reporter, now)
			if row, err = s.insert(ctx, q, v, t, files, once, true); err != nil {
				return err
			}
			return attachment.Attach(ctx, q, t.ID, nil, in.AttachmentIDs)
		})
	})
	return t, row, err
}

func (in New) by(reporter Person, now time.Time) Ticket {
	return Ticket{
		ID: uuid.Must(uuid.NewV7()), Title: in.Title, Description: in.Description, Status: Open, Priority: in.Priority,
		Reporter: reporter, Version: 1, CreatedAt: now, UpdatedAt: now, HasFiles: len(in.AttachmentIDs) > 0,
	}
}

// ensureReporter returns the customer on whose behalf the ticket is created.
func ensureReporter(ctx context.Context, q *crmdb.Queries, v Viewer, in New, now time.Time) (Person, error) {
	refuse := func(message string) error {
		return errs.Validation(errs.Field{Location: "body.reporter_email", Message: message})
	}
	id, err := identity.EnsureCustomer(ctx, q, now, v.ID, in.ReporterEmail, in.ReporterName)
	if errors.Is(err, address.ErrInvalid) {
		return Person{}, refuse("must be an e-mail address")
	}
	if err != nil {
		return Person{}, err
	}
	user, err := q.UserGet(ctx, id)
	if err != nil {
		return Person{}, fmt.Errorf("read reporter: %w", err)
	}
	if user.Status != crmdb.UserStatusApproved {
		return Person{}, refuse("must not belong to an account that is not approved")
	}
	return Person{ID: user.ID, Name: user.Name, Email: user.Email}, nil
}

// insertAlone creates a ticket in a transaction of its own. It waits for an engineer only
// if all are locked, since a choice that may wait costs more.
func (s *Service) insertAlone(ctx context.Context, v Viewer, t Ticket, once *Once) (crmdb.TicketCreateRow, error) {
	q := crmdb.New(s.pool)
	row, err := s.insert(ctx, q, v, t, nil, once, false)
	if assignment.AllLocked(err) {
		return s.insert(ctx, q, v, t, nil, once, true)
	}
	return row, err
}

// insert creates a ticket. Without waits it fails while all engineers are locked
// (assignment.AllLocked).
func (s *Service) insert(ctx context.Context, q *crmdb.Queries, v Viewer, t Ticket, files []notice.File, once *Once, waits bool) (crmdb.TicketCreateRow, error) {
	arg, err := createParams(ctx, v, t, files, once)
	if err != nil {
		return crmdb.TicketCreateRow{}, err
	}
	arg.Waits = waits
	if l, ok := s.limit(v, ticketsPerHour); ok {
		arg.LimitKey, arg.LimitSeconds, arg.LimitMost = l.Key(v.ID), l.Span().Seconds(), l.Max()
	}
	return q.TicketCreate(ctx, arg)
}

func (t Ticket) created(row crmdb.TicketCreateRow) Ticket {
	t.Number = row.Number
	if row.AssigneeID != nil {
		t.Assignee = &Person{ID: *row.AssigneeID, Name: row.AssigneeName}
	}
	return t
}

func createParams(ctx context.Context, v Viewer, t Ticket, files []notice.File, once *Once) (crmdb.TicketCreateParams, error) {
	reporter := notice.Person{ID: t.Reporter.ID, Name: t.Reporter.Name, Email: t.Reporter.Email}
	receipt, err := json.Marshal(notice.TicketReceived{Ticket: about(t), To: reporter, Description: t.Description, Files: files})
	if err != nil {
		return crmdb.TicketCreateParams{}, fmt.Errorf("encode receipt: %w", err)
	}
	assigned, err := json.Marshal(notice.TicketAssigned{
		Ticket: about(t), ReporterName: reporter.Name, Description: t.Description, Priority: string(t.Priority), Files: files,
	})
	if err != nil {
		return crmdb.TicketCreateParams{}, fmt.Errorf("encode notice: %w", err)
	}
	title, priority := t.Title, string(t.Priority)
	created, err := json.Marshal(changesJSON([]Change{{Field: "title", To: &title}, {Field: "priority", To: &priority}}))
	if err != nil {
		return crmdb.TicketCreateParams{}, fmt.Errorf("encode changes: %w", err)
	}
	arg := crmdb.TicketCreateParams{
		ID: t.ID, Title: t.Title, Description: t.Description,
		TitleWords: text.Words(t.Title), DescriptionWords: text.Words(t.Description), Folding: Folding, Priority: crmdb.TicketPriority(t.Priority),
		ReporterID: reporter.ID, ActorID: v.ID, Now: t.CreatedAt, HasFiles: t.HasFiles,
		CreatedEventID: uuid.Must(uuid.NewV7()), CreatedChanges: created,
		AssignedEventID: uuid.Must(uuid.NewV7()), Rule: assignment.Rule,
		ReceiptID: uuid.Must(uuid.NewV7()), ReceiptKind: notice.KindTicketReceived, Receipt: receipt,
		AssignedNoticeID: uuid.Must(uuid.NewV7()), AssignedNoticeKind: notice.KindTicketAssigned, AssignedNotice: assigned,
		RequestID: obs.RequestID(ctx), Traceparent: tracing.Parent(ctx),
	}
	if once != nil {
		arg.IdempotencyKey, arg.RequestHash = &once.Key, once.Hash[:]
	}
	return arg, nil
}

// notCreated answers a request that created no ticket, since its key has been used
// or the limit is reached.
func (s *Service) notCreated(ctx context.Context, v Viewer, in New, once *Once, cause error) (Ticket, error) {
	known := false
	if once != nil {
		var err error
		if known, err = s.known(ctx, v, once); err != nil {
			return Ticket{}, err
		}
	}
	if errors.Is(cause, attachment.ErrNotFree) && !known {
		return Ticket{}, cause
	}
	if l, limited := s.limit(v, ticketsPerHour); limited && errors.Is(cause, pgx.ErrNoRows) && !known {
		return Ticket{}, l.Refusal(ctx, crmdb.New(s.pool), v.ID, s.now())
	}
	first, err := s.firstAnswer(ctx, v, once, cause)
	if errors.Is(err, errKeyExpired) {
		return s.Create(ctx, v, in, once)
	}
	if err != nil {
		return Ticket{}, err
	}
	return in.answered(v, first)
}

// answered returns the ticket of the first answer to a key.
func (in New) answered(v Viewer, first crmdb.IdempotencyGetRow) (Ticket, error) {
	var answer struct {
		Number       int64      `json:"number"`
		Reporter     Person     `json:"reporter"`
		ReporterName string     `json:"reporter_name"` // in answers that the previous release stored
		AssigneeID   *uuid.UUID `json:"assignee_id"`
		AssigneeName string     `json:"assignee_name"`
		CreatedAt    time.Time  `json:"created_at"`
	}
	if err := json.Unmarshal(first.Response, &answer); err != nil {
		return Ticket{}, errs.New(errs.Internal, errs.CodeInternal, "The stored answer can't be read.").Because(err)
	}
	if answer.Reporter.ID == uuid.Nil {
		answer.Reporter = Person{ID: v.ID, Name: answer.ReporterName, Email: v.Email}
	}
	t := in.by(answer.Reporter, answer.CreatedAt)
	t.ID = first.ObjectID
	return t.created(crmdb.TicketCreateRow{Number: answer.Number, AssigneeID: answer.AssigneeID, AssigneeName: answer.AssigneeName}), nil
}

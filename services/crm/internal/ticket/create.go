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
	"fixdesk/pkg/obs"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// New is a ticket to be raised.
type New struct {
	Title       string
	Description string
	Priority    Priority
}

// Create raises a ticket and assigns it to an approved engineer, if any, in the
// same transaction. With a key, the same request again returns the first answer;
// see Once for the errors.
func (s *Service) Create(ctx context.Context, v Viewer, in New, once *Once) (Ticket, error) {
	now := s.now()
	t := Ticket{
		ID: uuid.Must(uuid.NewV7()), Title: in.Title, Description: in.Description, Status: Open, Priority: in.Priority,
		Reporter: Person{ID: v.ID, Name: v.Name}, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	arg, err := createParams(ctx, v, t, once)
	if err != nil {
		return Ticket{}, err
	}
	row, err := crmdb.New(s.pool).TicketCreate(ctx, arg)
	if once != nil && (errors.Is(err, pgx.ErrNoRows) || once.spent(err)) {
		return s.createdBefore(ctx, v, t, once, err)
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("create ticket: %w", err)
	}
	s.told()
	return t.created(row), nil
}

func (t Ticket) created(row crmdb.TicketCreateRow) Ticket {
	t.Number = row.Number
	if row.AssigneeID != nil {
		t.Assignee = &Person{ID: *row.AssigneeID, Name: row.AssigneeName}
	}
	return t
}

func createParams(ctx context.Context, v Viewer, t Ticket, once *Once) (crmdb.TicketCreateParams, error) {
	receipt, err := json.Marshal(notice.TicketReceived{Ticket: about(t), To: *v.person(), Description: t.Description})
	if err != nil {
		return crmdb.TicketCreateParams{}, fmt.Errorf("encode receipt: %w", err)
	}
	assigned, err := json.Marshal(notice.TicketAssigned{
		Ticket: about(t), ReporterName: v.Name, Description: t.Description, Priority: string(t.Priority),
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
		ReporterID: v.ID, Now: t.CreatedAt,
		CreatedEventID: uuid.Must(uuid.NewV7()), CreatedChanges: created,
		AssignedEventID: uuid.Must(uuid.NewV7()), Rule: assignment.Rule,
		ReceiptID: uuid.Must(uuid.NewV7()), ReceiptKind: notice.KindTicketReceived, Receipt: receipt,
		AssignedNoticeID: uuid.Must(uuid.NewV7()), AssignedNoticeKind: notice.KindTicketAssigned, AssignedNotice: assigned,
		RequestID: obs.RequestID(ctx),
	}
	if once != nil {
		arg.IdempotencyKey, arg.RequestHash = &once.Key, once.Hash[:]
	}
	return arg, nil
}

// createdBefore gives the answer that the first use of the key was given.
func (s *Service) createdBefore(ctx context.Context, v Viewer, t Ticket, once *Once, cause error) (Ticket, error) {
	first, err := s.firstAnswer(ctx, v, once, cause)
	if errors.Is(err, errKeyExpired) {
		return s.Create(ctx, v, New{Title: t.Title, Description: t.Description, Priority: t.Priority}, once)
	}
	if err != nil {
		return Ticket{}, err
	}
	var answer struct {
		Number       int64      `json:"number"`
		ReporterName string     `json:"reporter_name"`
		AssigneeID   *uuid.UUID `json:"assignee_id"`
		AssigneeName string     `json:"assignee_name"`
		CreatedAt    time.Time  `json:"created_at"`
	}
	if err := json.Unmarshal(first.Response, &answer); err != nil {
		return Ticket{}, errs.New(errs.Internal, errs.CodeInternal, "The first answer can't be read.").Because(err)
	}
	t.Reporter.Name = answer.ReporterName
	t.ID, t.CreatedAt, t.UpdatedAt = first.ObjectID, answer.CreatedAt, answer.CreatedAt
	return t.created(crmdb.TicketCreateRow{Number: answer.Number, AssigneeID: answer.AssigneeID, AssigneeName: answer.AssigneeName}), nil
}

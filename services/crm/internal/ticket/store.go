package ticket

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/crmdb"
)

// Columns are what a statement selects for a ticket: those of the query
// TicketGet, of tickets t, its reporter r and its assignee a. Targets are where
// they are read, and FromRow makes a Ticket of them.
const Columns = `t.id, t.number, t.title, t.description, t.status, t.priority,
	t.reporter_id, r.name, case when r.erased_at is null then r.email else '' end, t.assignee_id, coalesce(a.name, ''),
	t.resolution, t.blocked_reason, t.waiting_for, t.version,
	t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files`

// Targets are the places that Columns are scanned into.
func Targets(r *crmdb.TicketGetRow) []any {
	return []any{
		&r.ID, &r.Number, &r.Title, &r.Description, &r.Status, &r.Priority,
		&r.ReporterID, &r.ReporterName, &r.ReporterEmail, &r.AssigneeID, &r.AssigneeName,
		&r.Resolution, &r.BlockedReason, &r.WaitingFor, &r.Version,
		&r.CreatedAt, &r.UpdatedAt, &r.AcceptedAt, &r.ResolvedAt, &r.ClosedAt, &r.HasFiles,
	}
}

// FromRow makes a ticket of its row.
func FromRow(r crmdb.TicketGetRow) Ticket {
	t := Ticket{
		ID: r.ID, Number: r.Number, Title: r.Title, Description: r.Description,
		Status: Status(r.Status), Priority: Priority(r.Priority),
		Reporter:   Person{ID: r.ReporterID, Name: r.ReporterName, Email: r.ReporterEmail},
		Resolution: r.Resolution, Version: int(r.Version),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		AcceptedAt: r.AcceptedAt, ResolvedAt: r.ResolvedAt, ClosedAt: r.ClosedAt, HasFiles: r.HasFiles,
	}
	if r.AssigneeID != nil {
		t.Assignee = &Person{ID: *r.AssigneeID, Name: r.AssigneeName}
	}
	if t.Status == Blocked { // an older release does not clear the two
		other := WaitsForOther
		t.BlockedReason, t.WaitingFor = r.BlockedReason, &other
		if r.WaitingFor != nil {
			t.WaitingFor = (*WaitingFor)(r.WaitingFor)
		}
	}
	return t
}

// read returns the ticket as it is in the transaction.
func read(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Ticket, error) {
	row, err := q.TicketGet(ctx, id)
	if err != nil {
		return Ticket{}, missing("read ticket", err)
	}
	return FromRow(row), nil
}

// save writes the fields that an edit can change. version is the one that was read.
func save(ctx context.Context, q *crmdb.Queries, version int, t Ticket) error {
	n, err := q.TicketUpdate(ctx, crmdb.TicketUpdateParams{
		ID: t.ID, Version: int32(version), //nolint:gosec // a version is far below 2^31
		Title: t.Title, Description: t.Description,
		Priority: crmdb.TicketPriority(t.Priority),
		Status:   crmdb.TicketStatus(t.Status), Resolution: t.Resolution,
		BlockedReason: t.BlockedReason, WaitingFor: (*crmdb.TicketWaitingFor)(t.WaitingFor),
		AcceptedAt: t.AcceptedAt, ResolvedAt: t.ResolvedAt, ClosedAt: t.ClosedAt, UpdatedAt: t.UpdatedAt,
	})
	if pg.IsForeignKey(err, "tickets_assignee_is_engineer") {
		return refused(AssigneeGone, t, 0)
	}
	if err != nil {
		return fmt.Errorf("update ticket: %w", err)
	}
	if n != 1 {
		return errs.New(errs.Conflict, errs.CodeConflict, "Another request changed the ticket at the same time. Read it again.")
	}
	return nil
}

// saveSearch writes the search words of a ticket whose texts changed.
func saveSearch(ctx context.Context, q *crmdb.Queries, before, after Ticket) error {
	if before.Title == after.Title && before.Description == after.Description {
		return nil
	}
	if err := q.TicketSearchPut(ctx, crmdb.TicketSearchPutParams{
		TicketID: after.ID, TitleWords: text.Words(after.Title), DescriptionWords: text.Words(after.Description), Folding: Folding,
	}); err != nil {
		return fmt.Errorf("update search: %w", err)
	}
	return nil
}

// addEvent writes an event; changes becomes its JSON object.
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

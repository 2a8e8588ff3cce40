package assignment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// The kinds of event that an assignment writes.
const (
	EventAssigned   = "assigned"
	EventUnassigned = "unassigned"
)

// effect is what an assignment changes of the ticket besides its assignee.
type effect struct {
	keepStatus    bool // instead of taking it back to open
	wantsEngineer bool // without an assignee, the ticket waits for one
}

// write stores a move: the ticket, its event and the notices.
func write(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person, why Why, e effect) error {
	from := m.Ticket.Assignee
	status, err := q.TicketSetAssignee(ctx, crmdb.TicketSetAssigneeParams{
		ID: m.Ticket.ID, AssigneeID: personID(to), KeepStatus: e.keepStatus, WantsEngineer: e.wantsEngineer, Now: m.Now,
	})
	if err != nil {
		return fmt.Errorf("set assignee: %w", err)
	}
	if from == nil && to == nil {
		return nil
	}
	changes := map[string]any{
		"assignee": map[string]any{"from": named(from), "to": named(to)},
		"why":      why,
	}
	if string(status) != m.Ticket.Status {
		changes["status"] = map[string]any{"from": m.Ticket.Status, "to": status}
	}
	if err := addEvent(ctx, q, m, to, changes); err != nil {
		return err
	}
	if err := notifyEngineers(ctx, q, m, to); err != nil {
		return err
	}
	if string(status) == m.Ticket.Status {
		return nil
	}
	return notifyReporter(ctx, q, m, to, string(status))
}

func addEvent(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person, changes map[string]any) error {
	data, err := json.Marshal(changes)
	if err != nil {
		return fmt.Errorf("encode changes: %w", err)
	}
	kind := EventAssigned
	if to == nil {
		kind = EventUnassigned
	}
	if err := q.TicketEventAdd(ctx, crmdb.TicketEventAddParams{
		ID: uuid.Must(uuid.NewV7()), TicketID: m.Ticket.ID, Kind: kind, ActorID: personID(m.Actor), Changes: data, CreatedAt: m.Now,
	}); err != nil {
		return fmt.Errorf("add event: %w", err)
	}
	return nil
}

// notifyEngineers notifies the new and the former assignee, except the actor and
// a former assignee who may not see tickets any more.
func notifyEngineers(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person) error {
	var byName, toName string
	if m.Actor != nil {
		byName = m.Actor.Name
	}
	if to != nil {
		toName = to.Name
	}
	if to != nil && !same(to, m.Actor) {
		// The new assignee reads the author of a person's choice only.
		chosenBy := byName
		if m.Cause != Requested {
			chosenBy = ""
		}
		files, err := files(ctx, q, m.Ticket)
		if err != nil {
			return err
		}
		if err := outbox.Add(ctx, q, m.Now, m.Ticket.ID, notice.TicketAssigned{
			Ticket: m.Ticket.named(), To: *to, ReporterName: m.Ticket.ReporterName,
			Description: m.Ticket.Description, Priority: m.Ticket.Priority, ByName: chosenBy, Files: files,
		}); err != nil {
			return err
		}
	}
	from := m.Ticket.Assignee
	if from == nil || same(from, m.Actor) || m.FormerGone {
		return nil
	}
	return outbox.Add(ctx, q, m.Now, m.Ticket.ID, notice.TicketUnassigned{
		Ticket: m.Ticket.named(), To: *from, NewAssigneeName: toName, ByName: byName, Why: m.Reason,
	})
}

// files are the files of a ticket itself.
func files(ctx context.Context, q *crmdb.Queries, t Ticket) ([]notice.File, error) {
	if !t.HasFiles {
		return nil, nil
	}
	rows, err := q.AttachmentListTicket(ctx, t.ID)
	if err != nil {
		return nil, fmt.Errorf("list the files of a ticket: %w", err)
	}
	files := make([]notice.File, len(rows))
	for i, r := range rows {
		files[i] = notice.File{ID: r.ID, Name: r.Filename, Size: r.Size}
	}
	return files, nil
}

// notifyReporter notifies the reporter and the followers of a changed status, unless
// they are the actor or were notified as an engineer.
func notifyReporter(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person, status string) error {
	audience, err := q.TicketAudience(ctx, m.Ticket.ID)
	if err != nil {
		return fmt.Errorf("list audience: %w", err)
	}
	for _, p := range audience {
		reporter := &notice.Person{ID: p.ID, Name: p.Name, Email: p.Email}
		if !p.IsReporter && !p.IsFollower || same(reporter, m.Actor) || same(reporter, to) || same(reporter, m.Ticket.Assignee) {
			continue
		}
		comment, err := q.CommentLatest(ctx, crmdb.CommentLatestParams{TicketID: m.Ticket.ID, WithInternal: p.IsReporter && p.Role != "customer"})
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("read latest comment: %w", err)
		}
		as := notice.ToReporter
		if p.IsFollower {
			as = notice.ToFollower
		}
		changed := notice.TicketChanged{
			Ticket: m.Ticket.named(), To: *reporter, Audience: as, LatestComment: comment.Body,
			Changes: []notice.Change{{Field: "status", From: m.Ticket.Status, To: status}},
		}
		if m.Actor != nil {
			changed.ActorName = m.Actor.Name
		}
		if err := outbox.Add(ctx, q, m.Now, m.Ticket.ID, changed); err != nil {
			return err
		}
	}
	return nil
}

func (t Ticket) named() notice.Ticket {
	return notice.Ticket{ID: t.ID, Number: t.Number, Title: t.Title}
}

func named(p *notice.Person) *Person {
	if p == nil {
		return nil
	}
	return &Person{ID: p.ID, Name: p.Name}
}

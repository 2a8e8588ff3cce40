package ticket

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Accept accepts a ticket that is assigned to the engineer or unassigned. Of
// concurrent calls exactly one succeeds, the others get already_accepted.
func (s *Service) Accept(ctx context.Context, v Viewer, id uuid.UUID) (Ticket, error) {
	return s.change(ctx, v, id, func(u unit, before Ticket, now time.Time) (Ticket, error) {
		switch r := before.checkAccept(v.ID); r {
		case Allowed:
		case NotYours:
			return Ticket{}, errs.New(errs.Forbidden, errs.CodeForbidden, "This ticket is assigned to another engineer.")
		default:
			return Ticket{}, refused(r, before, partyOf(v, before))
		}
		n, err := u.q.TicketAccept(ctx, crmdb.TicketAcceptParams{ID: id, EngineerID: v.ID, Now: now})
		if pg.IsForeignKey(err, "tickets_assignee_is_engineer") || err == nil && n == 0 {
			return Ticket{}, errs.New(errs.Forbidden, errs.CodeForbidden, "Only an approved engineer may accept tickets.").Because(err)
		}
		if err != nil {
			return Ticket{}, fmt.Errorf("accept ticket: %w", err)
		}
		after := before.accepted(v, now)
		changes := diff(before, after)
		recorded := changesJSON(changes)
		if before.Assignee == nil {
			recorded["assignee"] = map[string]any{"from": nil, "to": assignment.Person{ID: v.ID, Name: v.Name}}
		}
		if err := addEvent(ctx, u.later, id, EventAccepted, v.ID, false, recorded, now); err != nil {
			return Ticket{}, err
		}
		audience, err := u.audience(ctx, id)
		if err != nil {
			return Ticket{}, err
		}
		return after, notifyOfChange(ctx, u, v, after, changes, audience, nil, now)
	})
}

// accepted is the ticket after its acceptance.
func (t Ticket) accepted(by Viewer, now time.Time) Ticket {
	t.Status, t.Assignee, t.AcceptedAt = InProgress, &Person{ID: by.ID, Name: by.Name}, &now
	t.Version++
	t.UpdatedAt = now
	return t
}

// Decline unassigns the ticket with a reason that engineers and admins can read,
// and offers it to the next engineer. When none remains, the ticket waits.
func (s *Service) Decline(ctx context.Context, v Viewer, id uuid.UUID, reason string) (Ticket, error) {
	return s.change(ctx, v, id, func(u unit, before Ticket, now time.Time) (Ticket, error) {
		switch r := before.checkDecline(v.ID); r {
		case Allowed:
		case NotYours:
			return Ticket{}, errs.New(errs.Forbidden, errs.CodeForbidden, "Only the ticket's assignee may decline it.")
		default:
			return Ticket{}, refused(r, before, partyOf(v, before))
		}
		if err := u.later.TicketDeclineAdd(ctx, crmdb.TicketDeclineAddParams{
			TicketID: id, EngineerID: v.ID, Reason: reason, CreatedAt: now,
		}); err != nil {
			return Ticket{}, fmt.Errorf("record decline: %w", err)
		}
		why := assignment.Why{Cause: assignment.Declined, Reason: reason}
		if err := addEvent(ctx, u.later, id, EventDeclined, v.ID, false, map[string]any{"why": why}, now); err != nil {
			return Ticket{}, err
		}
		m := move(before, v, assignment.Declined, reason, now)
		m.Ticket.Assignee = v.person()
		if _, err := assignment.Offer(ctx, u.q, m); err != nil {
			return Ticket{}, err
		}
		return read(ctx, u.q, id)
	})
}

// Assign assigns an active ticket to the engineer that an admin or its assignee
// chose. An admin can unassign it with nil. Assigning the present assignee changes
// nothing. A ticket is never assigned to its reporter.
func (s *Service) Assign(ctx context.Context, v Viewer, id uuid.UUID, engineer *uuid.UUID) (Ticket, error) {
	return s.change(ctx, v, id, func(u unit, before Ticket, now time.Time) (Ticket, error) {
		if p := partyOf(v, before); p&AsAdmin == 0 && (p&AsAssignee == 0 || engineer == nil) {
			return Ticket{}, errs.New(errs.Forbidden, errs.CodeForbidden,
				"Only an admin or the ticket's assignee may assign it, and only an admin may unassign it.")
		}
		if !before.Status.Active() {
			return Ticket{}, errs.New(errs.Conflict, errs.CodeConflict,
				"This ticket is "+string(before.Status)+". Reopen it before you assign it.")
		}
		if before.assignedTo(engineer) {
			return before, nil
		}
		if engineer != nil && *engineer == before.Reporter.ID {
			return Ticket{}, errs.Validation(errs.Field{Location: "body.engineer_id", Message: "must not be the ticket's reporter"})
		}
		to, from, err := parties(ctx, u.q, engineer, before.Assignee)
		if err != nil {
			return Ticket{}, err
		}
		m := move(before, v, assignment.Requested, "", now)
		m.Ticket.Assignee = from
		err = assignment.Assign(ctx, u.q, m, to)
		if errors.Is(err, assignment.ErrNoEngineer) {
			return Ticket{}, notAnEngineer()
		}
		if err != nil {
			return Ticket{}, err
		}
		return read(ctx, u.q, id)
	})
}

func (t Ticket) assignedTo(engineer *uuid.UUID) bool {
	if t.Assignee == nil || engineer == nil {
		return t.Assignee == nil && engineer == nil
	}
	return t.Assignee.ID == *engineer
}

func notAnEngineer() error {
	return errs.Validation(errs.Field{Location: "body.engineer_id", Message: "must be the id of an approved engineer, or null"})
}

// parties reads the present and the new assignee of a ticket.
func parties(ctx context.Context, q *crmdb.Queries, engineer *uuid.UUID, assignee *Person) (to, from *notice.Person, err error) {
	var ids []uuid.UUID
	if engineer != nil {
		ids = append(ids, *engineer)
	}
	if assignee != nil {
		ids = append(ids, assignee.ID)
	}
	rows, err := q.AssignmentPeople(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("read people: %w", err)
	}
	for _, r := range rows {
		p := &notice.Person{ID: r.ID, Name: r.Name, Email: r.Email}
		if engineer != nil && r.ID == *engineer {
			to = p
		} else {
			from = p
		}
	}
	if engineer != nil && to == nil {
		return nil, nil, notAnEngineer()
	}
	return to, from, nil
}

// Engineer is an engineer who can be assigned tickets.
type Engineer struct {
	ID            uuid.UUID
	Name          string
	Available     bool // is assigned tickets automatically
	ActiveTickets int
}

// EngineerPosition is a place in the list of engineers.
type EngineerPosition struct {
	Name string    `json:"name"`
	ID   uuid.UUID `json:"id"`
}

// Engineers lists engineers by name, at most n that follow the position; nil is
// the beginning.
func (s *Service) Engineers(ctx context.Context, after *EngineerPosition, n int) ([]Engineer, error) {
	if after == nil {
		after = &EngineerPosition{}
	}
	rows, err := crmdb.New(s.pool).EngineerList(ctx, crmdb.EngineerListParams{
		AfterName: after.Name, AfterID: after.ID, Most: int32(n), //nolint:gosec // a page has at most 100
	})
	if err != nil {
		return nil, fmt.Errorf("list engineers: %w", err)
	}
	engineers := make([]Engineer, len(rows))
	for i, r := range rows {
		engineers[i] = Engineer{ID: r.UserID, Name: r.Name, Available: r.Available, ActiveTickets: int(r.ActiveTickets)}
	}
	return engineers, nil
}

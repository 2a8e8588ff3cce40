package assignment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// The kinds of event this room writes.
const (
	EventAssigned   = "assigned"
	EventUnassigned = "unassigned"
)

// Ticket is what has to be known of a ticket to move it. The caller holds its
// row lock.
type Ticket struct {
	ID           uuid.UUID
	Number       int64
	Title        string
	Description  string
	Status       string
	Priority     string
	ReporterName string
	Assignee     *notice.Person
}

// Move is one ticket on its way to another engineer.
type Move struct {
	Ticket Ticket
	Cause  Cause
	Reason string         // why it was declined, if it was
	Actor  *notice.Person // who made it move; nil for the system itself
	Now    time.Time

	// FormerGone: the present assignee may not see tickets any more, or has had
	// nothing to do with this one for long. They are told nothing.
	FormerGone bool
}

// Offer gives the ticket to the engineer who is next: never to its present
// assignee, and to nobody who declined it while others remain. It returns who
// got it; nil when there is nobody, and then the ticket waits (see Sweep).
//
// The caller has locked no engineer. When whoever is next has changed while this
// waited for them, it returns pg.ErrRetry: the transaction starts again.
func Offer(ctx context.Context, q *crmdb.Queries, m Move) (*notice.Person, error) {
	return offer(ctx, q, m, func(ctx context.Context, q *crmdb.Queries, excluded []uuid.UUID) (*notice.Person, Why, error) {
		return pickWaiting(ctx, q, m.Ticket.Assignee, excluded)
	})
}

// offer is Offer with the way to pick the next engineer outside of excluded.
func offer(ctx context.Context, q *crmdb.Queries, m Move, pick func(context.Context, *crmdb.Queries, []uuid.UUID) (*notice.Person, Why, error)) (*notice.Person, error) {
	decliners, err := q.AssignmentDecliners(ctx, m.Ticket.ID)
	if err != nil {
		return nil, fmt.Errorf("list decliners: %w", err)
	}
	for _, excluded := range exclusions(personID(m.Ticket.Assignee), decliners) {
		to, why, err := pick(ctx, q, excluded)
		if err != nil {
			return nil, err
		}
		if to != nil {
			why.Cause, why.Reason = m.Cause, m.Reason
			return to, give(ctx, q, m, to, why, keepNothing)
		}
	}
	return nil, give(ctx, q, m, nil, Why{Cause: m.Cause, Rule: Rule, Reason: m.Reason}, wantsEngineer)
}

// pickWaiting picks as pick does, after it has waited for the present assignee
// and for somebody who could be next; nil when nobody is left.
func pickWaiting(ctx context.Context, q *crmdb.Queries, assignee *notice.Person, excluded []uuid.UUID) (*notice.Person, Why, error) {
	next, err := next(ctx, q, excluded)
	if next == nil || err != nil {
		return nil, Why{}, err
	}
	if err := lock(ctx, q, assignee, next); err != nil {
		return nil, Why{}, err
	}
	to, why, err := pick(ctx, q, excluded)
	if to == nil && err == nil {
		err = fmt.Errorf("whoever was next is no more: %w", pg.ErrRetry)
	}
	return to, why, err
}

// next names somebody to wait for, who may be locked; nil when nobody is left.
func next(ctx context.Context, q *crmdb.Queries, excluded []uuid.UUID) (*notice.Person, error) {
	id, err := q.AssignmentNext(ctx, excluded)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for engineers: %w", err)
	}
	return &notice.Person{ID: id}, nil
}

// Give puts the ticket into the hands an admin chose; nil takes it out of the
// present ones, and it then stays without an engineer until one accepts it or
// is given it. ErrNoEngineer: that user can't act on tickets.
func Give(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person) error {
	if err := lock(ctx, q, m.Ticket.Assignee, to); err != nil {
		return err
	}
	if to != nil {
		if _, err := q.EngineerGet(ctx, to.ID); errors.Is(err, pgx.ErrNoRows) {
			return ErrNoEngineer
		} else if err != nil {
			return fmt.Errorf("read engineer: %w", err)
		}
	}
	return give(ctx, q, m, to, Why{Cause: m.Cause, Reason: m.Reason}, keepStatus)
}

// ErrNoEngineer says that somebody is no approved engineer.
var ErrNoEngineer = errors.New("not an approved engineer")

// lock takes the engineers' rows in the order of their ids, which is the one
// everybody waits in. Who is no engineer any more has no row and no lock.
func lock(ctx context.Context, q *crmdb.Queries, people ...*notice.Person) error {
	people = slices.DeleteFunc(people, func(p *notice.Person) bool { return p == nil })
	slices.SortFunc(people, func(a, b *notice.Person) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, p := range people {
		if _, err := q.EngineerLock(ctx, p.ID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("lock engineer: %w", err)
		}
	}
	return nil
}

// pick locks the engineer who is next; nil when nobody is left whom others
// haven't locked.
func pick(ctx context.Context, q *crmdb.Queries, excluded []uuid.UUID) (*notice.Person, Why, error) {
	row, err := q.AssignmentPick(ctx, excluded)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, Why{}, nil
	}
	if err != nil {
		return nil, Why{}, fmt.Errorf("pick engineer: %w", err)
	}
	why := Why{Rule: Rule}
	if err := json.Unmarshal(row.Candidates, &why.Candidates); err != nil {
		return nil, Why{}, fmt.Errorf("decode candidates: %w", err)
	}
	return &notice.Person{ID: row.ID, Name: row.Name, Email: row.Email}, why, nil
}

// how says what becomes of the status and of a ticket left without an engineer.
type how struct{ keepStatus, wantsEngineer bool }

var (
	keepStatus    = how{keepStatus: true}
	keepNothing   = how{}
	wantsEngineer = how{wantsEngineer: true}
)

// give writes a move: the ticket, its event and the notices.
func give(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person, why Why, h how) error {
	from := m.Ticket.Assignee
	status, err := q.TicketSetAssignee(ctx, crmdb.TicketSetAssigneeParams{
		ID: m.Ticket.ID, AssigneeID: personID(to), KeepStatus: h.keepStatus, WantsEngineer: h.wantsEngineer, Now: m.Now,
	})
	if err != nil {
		return fmt.Errorf("set assignee: %w", err)
	}
	if from == nil && to == nil {
		return nil
	}
	changes := map[string]any{
		"assignee": map[string]any{"from": person(from), "to": person(to)},
		"why":      why,
	}
	if string(status) != m.Ticket.Status {
		changes["status"] = map[string]any{"from": m.Ticket.Status, "to": status}
	}
	if err := addEvent(ctx, q, m, to, changes); err != nil {
		return err
	}
	if err := tell(ctx, q, m, to); err != nil {
		return err
	}
	if string(status) == m.Ticket.Status {
		return nil
	}
	return tellReporter(ctx, q, m, to, string(status))
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

// tell writes to the new and the former assignee, save whoever made the move
// and a former assignee who may see tickets no more.
func tell(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person) error {
	about := m.Ticket.named()
	var byName, toName string
	if m.Actor != nil {
		byName = m.Actor.Name
	}
	if to != nil {
		toName = to.Name
	}
	if to != nil && !same(to, m.Actor) {
		// Only an admin's choice is somebody's doing in the new assignee's eyes.
		chosenBy := byName
		if m.Cause != Requested {
			chosenBy = ""
		}
		if err := outbox.Add(ctx, q, m.Now, m.Ticket.ID, notice.TicketAssigned{
			Ticket: about, To: *to, ReporterName: m.Ticket.ReporterName,
			Description: m.Ticket.Description, Priority: m.Ticket.Priority, ByName: chosenBy,
		}); err != nil {
			return err
		}
	}
	from := m.Ticket.Assignee
	if from == nil || same(from, m.Actor) || m.FormerGone {
		return nil
	}
	return outbox.Add(ctx, q, m.Now, m.Ticket.ID, notice.TicketUnassigned{
		Ticket: about, To: *from, NewAssigneeName: toName, ByName: byName, Why: m.Reason,
	})
}

// tellReporter writes to the reporter that the move changed the status, unless
// they made it or were told of it as an engineer.
func tellReporter(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person, status string) error {
	audience, err := q.TicketAudience(ctx, m.Ticket.ID)
	if err != nil {
		return fmt.Errorf("list audience: %w", err)
	}
	for _, p := range audience {
		reporter := &notice.Person{ID: p.ID, Name: p.Name, Email: p.Email}
		if !p.IsReporter || same(reporter, m.Actor) || same(reporter, to) || same(reporter, m.Ticket.Assignee) {
			continue
		}
		comment, err := q.CommentLatest(ctx, crmdb.CommentLatestParams{TicketID: m.Ticket.ID, WithInternal: p.Role != "customer"})
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("read latest comment: %w", err)
		}
		changed := notice.TicketChanged{
			Ticket: m.Ticket.named(), To: *reporter, LatestComment: comment.Body,
			Changes: []notice.Change{{Field: "status", From: m.Ticket.Status, To: status}},
		}
		if m.Actor != nil {
			changed.ActorName = m.Actor.Name
		}
		return outbox.Add(ctx, q, m.Now, m.Ticket.ID, changed)
	}
	return nil
}

func (t Ticket) named() notice.Ticket {
	return notice.Ticket{ID: t.ID, Number: t.Number, Title: t.Title}
}

func same(a, b *notice.Person) bool { return a != nil && b != nil && a.ID == b.ID }

func person(p *notice.Person) *Person {
	if p == nil {
		return nil
	}
	return &Person{ID: p.ID, Name: p.Name}
}

func personID(p *notice.Person) *uuid.UUID {
	if p == nil {
		return nil
	}
	return &p.ID
}

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
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// ErrNoEngineer is returned for a user who is no approved engineer.
var ErrNoEngineer = errors.New("not an approved engineer")

// Ticket has the fields of a ticket that an assignment needs. The caller holds
// its row lock.
type Ticket struct {
	ID           uuid.UUID
	Number       int64
	Title        string
	Description  string
	Status       string
	Priority     string
	ReporterID   uuid.UUID
	ReporterName string
	Assignee     *notice.Person
	HasFiles     bool
}

// Move is one change of a ticket's assignee.
type Move struct {
	Ticket Ticket
	Cause  Cause
	Reason string         // why it was declined, if it was
	Actor  *notice.Person // the user who made the change; nil for an automatic one
	Now    time.Time      // see TimeOfChange

	// FormerGone is set when the present assignee is not to be notified: they may
	// not see tickets any more, or the ticket was done.
	FormerGone bool
}

// Offer assigns the ticket to the next engineer: never to its reporter or its
// present assignee, and not to one who declined it while others remain. It
// returns the new assignee, or nil when no engineer remains; the ticket then
// waits for the Backlog. The caller has locked no engineer. While all candidates
// are locked by others it waits, at most the lock timeout for each.
//
// A reopened ticket has no assignee in the database any more; the former one in m
// is then used only for the event.
func Offer(ctx context.Context, q *crmdb.Queries, m Move) (*notice.Person, error) {
	decliners, err := q.AssignmentDecliners(ctx, m.Ticket.ID)
	if err != nil {
		return nil, fmt.Errorf("list decliners: %w", err)
	}
	former := personID(m.Ticket.Assignee)
	loaded := former // the engineer whose load decreases
	if m.Cause == Reopened {
		loaded = nil
	}
	for _, excluded := range exclusions(m.Ticket.ReporterID, former, decliners) {
		to, why, err := choose(ctx, q, excluded, loaded)
		if err != nil {
			return nil, err
		}
		if to != nil {
			why.Cause, why.Reason = m.Cause, m.Reason
			return to, write(ctx, q, m, to, why, effect{})
		}
	}
	return nil, write(ctx, q, m, nil, Why{Cause: m.Cause, Rule: Rule, Reason: m.Reason}, effect{wantsEngineer: true})
}

// AllLocked reports whether a choice that may not wait failed since other transactions
// had locked every engineer (SQL function engineer_next). Its transaction must end.
func AllLocked(err error) bool {
	failed, ok := errors.AsType[*pgconn.PgError](err)
	return ok && failed.Code == "FD001"
}

// choose locks the next engineer and former. It returns nil when no available
// engineer remains outside of excluded.
func choose(ctx context.Context, q *crmdb.Queries, excluded []uuid.UUID, former *uuid.UUID) (*notice.Person, Why, error) {
	data, err := q.EngineerChoose(ctx, crmdb.EngineerChooseParams{Excluded: excluded, Former: former})
	if err != nil {
		return nil, Why{}, fmt.Errorf("choose engineer: %w", err)
	}
	if data == nil {
		return nil, Why{}, nil
	}
	var chosen struct {
		notice.Person
		Candidates []Candidate `json:"candidates"`
	}
	if err := json.Unmarshal(data, &chosen); err != nil {
		return nil, Why{}, fmt.Errorf("decode engineer: %w", err)
	}
	return &chosen.Person, Why{Rule: Rule, Candidates: chosen.Candidates}, nil
}

// Assign assigns the ticket to the engineer that a person chose, or unassigns it
// for nil; it then stays without an engineer until one accepts it or is assigned.
// The error is ErrNoEngineer for a user who is no approved engineer.
func Assign(ctx context.Context, q *crmdb.Queries, m Move, to *notice.Person) error {
	if err := lock(ctx, q, m.Ticket.Assignee, to); err != nil {
		return err
	}
	return write(ctx, q, m, to, Why{Cause: m.Cause, Reason: m.Reason}, effect{keepStatus: true})
}

// lock locks the present assignee, if still an engineer, and the new one, in the
// order of their ids, in which every transaction waits for engineers.
func lock(ctx context.Context, q *crmdb.Queries, former, to *notice.Person) error {
	people := slices.DeleteFunc([]*notice.Person{former, to}, func(p *notice.Person) bool { return p == nil })
	slices.SortFunc(people, func(a, b *notice.Person) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, p := range people {
		engineer, err := q.EngineerLock(ctx, p.ID)
		gone := errors.Is(err, pgx.ErrNoRows)
		if err != nil && !gone {
			return fmt.Errorf("lock engineer: %w", err)
		}
		if p == to && (gone || engineer.Leaving) {
			return ErrNoEngineer
		}
	}
	return nil
}

// Join lets an approved engineer be assigned tickets. The Backlog, to be woken
// after the commit, assigns those that wait. Joining twice has no further effect.
func Join(ctx context.Context, q *crmdb.Queries, engineerID uuid.UUID) error {
	if err := q.EngineerJoin(ctx, engineerID); err != nil {
		return fmt.Errorf("engineer joins: %w", err)
	}
	return nil
}

// Leave removes an engineer from the assignment: from this transaction on they
// are assigned no ticket and accept none. The Backlog, to be woken after the
// commit, hands their active tickets over. The caller has written the user's new
// role or status in this transaction; actorID is the user who decided it.
func Leave(ctx context.Context, q *crmdb.Queries, engineerID, actorID uuid.UUID) error {
	if err := q.EngineerLeave(ctx, crmdb.EngineerLeaveParams{UserID: engineerID, DecidedBy: actorID}); err != nil {
		return fmt.Errorf("engineer leaves: %w", err)
	}
	if err := q.EngineerDelete(ctx, engineerID); err != nil {
		return fmt.Errorf("delete engineer: %w", err)
	}
	return nil
}

// SetAvailable marks an engineer as available or away. An engineer who is away is
// assigned no ticket automatically; with handOver the Backlog, to be woken after
// the commit, assigns their active tickets to others. The error is ErrNoEngineer
// for a user who is no approved engineer.
func SetAvailable(ctx context.Context, q *crmdb.Queries, engineerID uuid.UUID, available, handOver bool) error {
	var n int64
	var err error
	if !available && handOver {
		n, err = q.EngineerHandOver(ctx, engineerID)
	} else {
		n, err = q.EngineerSetAvailable(ctx, crmdb.EngineerSetAvailableParams{UserID: engineerID, Available: available})
	}
	if err != nil {
		return fmt.Errorf("set availability: %w", err)
	}
	if n == 0 {
		return ErrNoEngineer
	}
	return nil
}

func same(a, b *notice.Person) bool { return a != nil && b != nil && a.ID == b.ID }

func personID(p *notice.Person) *uuid.UUID {
	if p == nil {
		return nil
	}
	return &p.ID
}

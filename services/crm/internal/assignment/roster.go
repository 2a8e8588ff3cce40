package assignment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// joinBatch is how many waiting tickets an engineer is given in the transaction
// that lets them in; the sweep brings the rest.
const joinBatch = 100

// Join lets an approved engineer be assigned tickets, and gives them those that
// wait, oldest first (at most 100 in this transaction). To join twice is to join
// once.
func Join(ctx context.Context, q *crmdb.Queries, now time.Time, engineerID uuid.UUID) error {
	if err := q.EngineerJoin(ctx, engineerID); err != nil {
		return fmt.Errorf("engineer joins: %w", err)
	}
	_, err := drain(ctx, q, now, joinBatch)
	return err
}

// Leave takes an engineer who may act no more out of the assignment and hands
// their active tickets to others. The caller has written the user's new role or
// status in this transaction; actorID is who decided it.
func Leave(ctx context.Context, q *crmdb.Queries, now time.Time, engineerID, actorID uuid.UUID) error {
	if err := handOver(ctx, q, now, engineerID, actorID, Left); err != nil {
		return err
	}
	if err := q.EngineerLeave(ctx, engineerID); err != nil {
		return fmt.Errorf("engineer leaves: %w", err)
	}
	return nil
}

// SetAvailable marks an engineer as there or away. Who is away gets nothing new;
// handOver gives their active tickets to others at once. Who comes back is given
// tickets that wait. ErrNoEngineer: the user is no approved engineer.
func SetAvailable(ctx context.Context, q *crmdb.Queries, now time.Time, engineerID uuid.UUID, available, handsOver bool) error {
	if !available && handsOver {
		if err := handOver(ctx, q, now, engineerID, engineerID, Away); err != nil {
			return err
		}
	}
	n, err := q.EngineerSetAvailable(ctx, crmdb.EngineerSetAvailableParams{UserID: engineerID, Available: available})
	if err != nil {
		return fmt.Errorf("set availability: %w", err)
	}
	if n == 0 {
		return ErrNoEngineer
	}
	if available {
		_, err := drain(ctx, q, now, joinBatch)
		return err
	}
	return nil
}

// handOver offers each active ticket of an engineer to others. Tickets are
// locked before engineers, as everywhere else. One that came to the engineer
// while this waited may be locked by somebody who waits for the engineer in
// turn: then it returns pg.ErrRetry, and the transaction starts again.
func handOver(ctx context.Context, q *crmdb.Queries, now time.Time, engineerID, actorID uuid.UUID, cause Cause) error {
	if err := q.AssignmentTicketsLock(ctx, engineerID); err != nil {
		return fmt.Errorf("lock tickets: %w", err)
	}
	if err := q.EngineerLockAll(ctx); err != nil {
		return fmt.Errorf("lock engineers: %w", err)
	}
	// Once more by name: an engineer who left and came back meanwhile has a new
	// row, which the statement above has not seen.
	engineer, err := q.EngineerLock(ctx, engineerID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	} else if err != nil {
		return fmt.Errorf("lock engineer: %w", err)
	}
	rows, err := q.AssignmentTicketsFree(ctx, engineerID)
	if err != nil {
		return fmt.Errorf("list tickets: %w", err)
	}
	if len(rows) != int(engineer.ActiveTickets) {
		return fmt.Errorf("a ticket came meanwhile: %w", pg.ErrRetry)
	}
	if len(rows) == 0 {
		return nil
	}
	people, err := q.AssignmentPeople(ctx, []uuid.UUID{engineerID, actorID})
	if err != nil {
		return fmt.Errorf("read people: %w", err)
	}
	var from, actor notice.Person
	gone := false
	for _, p := range people {
		person := notice.Person{ID: p.ID, Name: p.Name, Email: p.Email}
		if p.ID == engineerID {
			from, gone = person, !p.IsStaff
		}
		if p.ID == actorID {
			actor = person
		}
	}
	for _, row := range rows {
		t := ticketOf(crmdb.AssignmentTicketsWaitingRow(row))
		t.Assignee = &from
		if _, err := offer(ctx, q, Move{Ticket: t, Cause: cause, Actor: &actor, Now: now, FormerGone: gone}, pick); err != nil {
			return err
		}
	}
	return nil
}

// drain offers waiting tickets, oldest first, at most n, and tells how many
// found an engineer. It waits for nobody: what those who are locked by others
// could have taken is left to the sweep.
func drain(ctx context.Context, q *crmdb.Queries, now time.Time, n int32) (int, error) {
	rows, err := q.AssignmentTicketsWaiting(ctx, n)
	if err != nil {
		return 0, fmt.Errorf("list waiting tickets: %w", err)
	}
	return giveOut(ctx, q, now, rows)
}

func giveOut(ctx context.Context, q *crmdb.Queries, now time.Time, rows []crmdb.AssignmentTicketsWaitingRow) (int, error) {
	given := 0
	for _, row := range rows {
		decliners, err := q.AssignmentDecliners(ctx, row.ID)
		if err != nil {
			return given, fmt.Errorf("list decliners: %w", err)
		}
		to, why, err := pick(ctx, q, append([]uuid.UUID{}, decliners...))
		if err != nil {
			return given, err
		}
		if to == nil {
			continue
		}
		why.Cause = Waiting
		m := Move{Ticket: ticketOf(row), Cause: Waiting, Now: now}
		if err := give(ctx, q, m, to, why, keepNothing); err != nil {
			return given, err
		}
		given++
	}
	return given, nil
}

func ticketOf(row crmdb.AssignmentTicketsWaitingRow) Ticket {
	return Ticket{
		ID: row.ID, Number: row.Number, Title: row.Title, Description: row.Description,
		Status: string(row.Status), Priority: string(row.Priority), ReporterName: row.ReporterName,
	}
}

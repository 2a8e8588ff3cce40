package assignment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

const (
	// handOverBatch and waitingBatch are how many tickets are listed at a time. Each is
	// assigned in a transaction of its own, so that other assignments wait for one at
	// most. A list reads all tickets that are to be handed over, to sort them.
	handOverBatch = 200
	waitingBatch  = 50
	// longestRest bounds the rest after a ticket that was handed over.
	longestRest = 50 * time.Millisecond
)

// Backlog hands over the tickets of engineers who left or are away, and assigns
// the tickets that wait. Its state is in the database, so that the next run on any
// replica resumes one that was interrupted.
type Backlog struct {
	pool    *pgxpool.Pool
	now     func() time.Time
	changed func()
}

// NewBacklog makes the job. changed is called after each commit, which may have
// written events and notices to be published; it must not block.
func NewBacklog(pool *pgxpool.Pool, now func() time.Time, changed func()) *Backlog {
	return &Backlog{pool: pool, now: now, changed: changed}
}

// RunOnce assigns at most one batch of hand-overs and one of waiting tickets.
// again reports whether more may be due now. It skips tickets that are locked. After each
// ticket that is handed over it rests for as long as that took: nobody waits for a
// hand-over, and requests need the processors.
func (b *Backlog) RunOnce(ctx context.Context) (again bool, err error) {
	q := crmdb.New(b.pool)
	for _, part := range []struct {
		list  func(context.Context, int32) ([]uuid.UUID, error)
		batch int32
		rests bool
	}{{q.AssignmentHandOverList, handOverBatch, true}, {q.AssignmentWaitingList, waitingBatch, false}} {
		ids, err := part.list(ctx, part.batch)
		if err != nil {
			return false, fmt.Errorf("list tickets to assign: %w", err)
		}
		done, err := b.assign(ctx, ids, part.rests)
		if err != nil {
			return false, err
		}
		again = again || done > 0
	}
	if err := q.EngineerHandedOver(ctx); err != nil {
		return false, fmt.Errorf("end hand-overs: %w", err)
	}
	return again, nil
}

func (b *Backlog) assign(ctx context.Context, ids []uuid.UUID, rests bool) (done int, err error) {
	for _, id := range ids {
		moved, began := false, time.Now() //nolint:forbidigo // a duration, which the injected clock may not show
		err := pg.Retry(ctx, func() error {
			return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) (err error) {
				moved, err = b.assignOne(ctx, crmdb.New(tx), id)
				return err
			})
		})
		if err != nil {
			return done, fmt.Errorf("assign ticket %s: %w", id, err)
		}
		if moved {
			done++
			b.changed()
		}
		if rests {
			rest(ctx, min(time.Since(began), longestRest)) //nolint:forbidigo // as above
		}
	}
	return done, nil
}

// rest returns after d, or when ctx ends.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (b *Backlog) assignOne(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (moved bool, err error) {
	row, err := q.AssignmentTicketLock(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock ticket: %w", err)
	}
	m := Move{Cause: Waiting, Now: TimeOfChange(b.now(), row.UpdatedAt), Ticket: Ticket{
		ID: row.ID, Number: row.Number, Title: row.Title, Description: row.Description,
		Status: string(row.Status), Priority: string(row.Priority), ReporterID: row.ReporterID, ReporterName: row.ReporterName, HasFiles: row.HasFiles,
	}}
	if row.AssigneeID == nil {
		return assignWaiting(ctx, q, m)
	}
	m.Cause, m.FormerGone = Away, !row.AssigneeIsStaff
	if row.Leaving {
		m.Cause = Left
	}
	m.Ticket.Assignee = &notice.Person{ID: *row.AssigneeID, Name: row.AssigneeName, Email: row.AssigneeEmail}
	if row.DecidedByID != nil {
		m.Actor = &notice.Person{ID: *row.DecidedByID, Name: row.DecidedByName, Email: row.DecidedByEmail}
	}
	_, err = Offer(ctx, q, m)
	return true, err
}

// assignWaiting assigns a waiting ticket to an engineer who did not decline it.
func assignWaiting(ctx context.Context, q *crmdb.Queries, m Move) (bool, error) {
	decliners, err := q.AssignmentDecliners(ctx, m.Ticket.ID)
	if err != nil {
		return false, fmt.Errorf("list decliners: %w", err)
	}
	to, why, err := choose(ctx, q, append(decliners, m.Ticket.ReporterID), nil)
	if to == nil || err != nil {
		return false, err
	}
	why.Cause = m.Cause
	return true, write(ctx, q, m, to, why, effect{})
}

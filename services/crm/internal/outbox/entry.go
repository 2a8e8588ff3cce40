package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

// Entry is what is known of a notice that the notification service doesn't
// have. LastError and DeadAt are nil where there is none.
type Entry struct {
	ID            uuid.UUID
	Kind          string
	Reference     uuid.UUID
	Attempts      int32
	LastError     *string
	CreatedAt     time.Time
	NextAttemptAt time.Time
	DeadAt        *time.Time
}

// The states of an entry that the notification service doesn't have.
const (
	Alive = "pending" // will be posted
	Dead  = "dead"    // was refused for good and waits for a person
)

// State is Alive or Dead.
func (e Entry) State() string {
	if e.DeadAt != nil {
		return Dead
	}
	return Alive
}

// Waiting is an entry with the mail that it stands for.
type Waiting struct {
	Entry
	Subject    string
	Recipients []string
}

// Pending gives the notices about reference that the notification service
// doesn't have yet, dead ones included, oldest first. It is empty, not nil,
// when there are none.
func Pending(ctx context.Context, q *crmdb.Queries, reference uuid.UUID) ([]Waiting, error) {
	rows, err := q.OutboxPending(ctx, reference)
	if err != nil {
		return nil, fmt.Errorf("pending notices: %w", err)
	}
	waiting := make([]Waiting, len(rows))
	for i, r := range rows {
		waiting[i] = Waiting{Recipients: []string{}, Entry: Entry{
			ID: r.ID, Kind: r.Kind, Reference: reference, Attempts: r.Attempts, LastError: r.LastError,
			CreatedAt: r.CreatedAt, NextAttemptAt: r.NextAttemptAt, DeadAt: r.DeadAt,
		}}
		// What this version can't read is still shown to be waiting.
		if n, err := notice.Decode(r.Kind, r.Data); err == nil {
			m := n.Message(notice.Links{})
			waiting[i].Subject, waiting[i].Recipients = m.Subject, m.To
		}
	}
	return waiting, nil
}

// list gives up to limit entries in the state, newest first, older than before.
func list(ctx context.Context, q *crmdb.Queries, state string, before *uuid.UUID, limit int) ([]Entry, error) {
	var entries []Entry
	if state == Dead {
		rows, err := q.OutboxListDead(ctx, crmdb.OutboxListDeadParams{Before: before, Page: int32(limit)})
		if err != nil {
			return nil, fmt.Errorf("list dead notices: %w", err)
		}
		for _, r := range rows {
			entries = append(entries, Entry(r))
		}
		return entries, nil
	}
	rows, err := q.OutboxListPending(ctx, crmdb.OutboxListPendingParams{Before: before, Page: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list pending notices: %w", err)
	}
	for _, r := range rows {
		entries = append(entries, Entry(r))
	}
	return entries, nil
}

var errNotDead = errs.New(errs.Conflict, errs.CodeConflict,
	"Only an entry that was refused for good can be retried; this one is pending or posted.")

// revive makes a dead entry pending, due at once.
func revive(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Entry, error) {
	row, err := q.OutboxRetry(ctx, id)
	if err == nil {
		return Entry(row), nil
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, fmt.Errorf("retry a notice: %w", err)
	}
	exists, err := q.OutboxExists(ctx, id)
	switch {
	case err != nil:
		return Entry{}, fmt.Errorf("retry a notice: %w", err)
	case !exists:
		return Entry{}, errs.Missing()
	}
	return Entry{}, errNotDead
}

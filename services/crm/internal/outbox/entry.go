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

// Entry is a notice that is not posted. LastError is nil before the first failure,
// and DeadAt unless it is dead.
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

// The states of an entry that is not posted.
const (
	StatePending = "pending" // will be posted
	StateDead    = "dead"    // was refused permanently; an admin may retry it
)

// State is StatePending or StateDead.
func (e Entry) State() string {
	if e.DeadAt != nil {
		return StateDead
	}
	return StatePending
}

// PendingMail is an entry with the subject and the recipients of its mail.
type PendingMail struct {
	Entry
	Subject    string
	Recipients []string
}

// Pending returns the notices about reference that are not posted, including dead
// ones, oldest first. It is empty, not nil, when there are none.
func Pending(ctx context.Context, q *crmdb.Queries, reference uuid.UUID) ([]PendingMail, error) {
	rows, err := q.OutboxPending(ctx, reference)
	if err != nil {
		return nil, fmt.Errorf("pending notices: %w", err)
	}
	mails := make([]PendingMail, len(rows))
	for i, r := range rows {
		mails[i] = PendingMail{Recipients: []string{}, Entry: Entry{
			ID: r.ID, Kind: r.Kind, Reference: reference, Attempts: r.Attempts, LastError: r.LastError,
			CreatedAt: r.CreatedAt, NextAttemptAt: r.NextAttemptAt, DeadAt: r.DeadAt,
		}}
		// An entry that this version can't read is listed without subject and recipients.
		if n, err := notice.Decode(r.Kind, r.Data); err == nil {
			m := n.Message(notice.Links{})
			mails[i].Subject, mails[i].Recipients = m.Subject, m.To
		}
	}
	return mails, nil
}

// list returns up to limit entries in the state, newest first, older than before.
func list(ctx context.Context, q *crmdb.Queries, state string, before *uuid.UUID, limit int) ([]Entry, error) {
	var entries []Entry
	if state == StateDead {
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
	"Only a dead entry can be retried; this one is pending or posted.")

// retry makes a dead entry pending, due at once.
func retry(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (Entry, error) {
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

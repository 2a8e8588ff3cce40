package request

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

// Service is the use cases of requests.
type Service struct {
	db     *pgxpool.Pool
	now    func() time.Time
	domain string
	wake   func()
}

// NewService makes a service. domain is the right side of new mails'
// Message-IDs; wake is called after each commit that made a recipient due.
func NewService(db *pgxpool.Pool, now func() time.Time, domain string, wake func()) *Service {
	return &Service{db: db, now: now, domain: domain, wake: wake}
}

var (
	errNothingToCancel = errs.New(errs.Conflict, errs.CodeConflict, "There is nothing left to cancel.")
	errNothingToRetry  = errs.New(errs.Conflict, errs.CodeConflict, "No recipient failed or is uncertain.")
)

// Get gives one notification.
func (s *Service) Get(ctx context.Context, id uuid.UUID) (Notification, error) {
	row, err := notificationdb.New(s.db).NotificationGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Notification{}, errs.Missing()
	}
	if err != nil {
		return Notification{}, fmt.Errorf("get notification: %w", err)
	}
	return withResult(notificationdb.NotificationListRow(row)), nil
}

// List gives up to max notifications older than before, newest first; the zero
// UUID means from the newest.
func (s *Service) List(ctx context.Context, f Filter, before uuid.UUID, max int) ([]Notification, error) {
	p := notificationdb.NotificationListParams{
		BeforeID: uuid.Max, CreatedAfter: time.Unix(0, 0), CreatedBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		Reference: optional(f.Reference), Requester: optional(f.Requester), Status: optional(f.Status), Max: int32(max),
	}
	// Ids are in the order of time, so that the bounds are ranges of the index.
	if !f.CreatedAfter.IsZero() {
		p.CreatedAfter, p.AfterID = f.CreatedAfter, delivery.FirstID(f.CreatedAfter)
	}
	if !f.CreatedBefore.IsZero() {
		p.CreatedBefore, p.BeforeID = f.CreatedBefore, delivery.FirstID(f.CreatedBefore.Add(time.Millisecond))
	}
	if before != uuid.Nil {
		p.BeforeID = before
	}
	rows, err := s.rows(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	notifications := make([]Notification, 0, len(rows))
	for _, row := range rows {
		notifications = append(notifications, withResult(row))
	}
	return notifications, nil
}

// rows chooses the way to the rows: statuses that are rare among millions are
// found by the recipients that make them so.
func (s *Service) rows(ctx context.Context, p notificationdb.NotificationListParams) ([]notificationdb.NotificationListRow, error) {
	q := notificationdb.New(plannedAnew{s.db})
	if p.Status == nil || *p.Status == "completed" {
		return q.NotificationList(ctx, p)
	}
	narrow := notificationdb.NotificationListOpenParams{
		BeforeID: p.BeforeID, AfterID: p.AfterID, CreatedAfter: p.CreatedAfter, CreatedBefore: p.CreatedBefore,
		Reference: p.Reference, Requester: p.Requester, Status: *p.Status, Max: p.Max,
	}
	if Status(*p.Status).isOver() {
		rows, err := q.NotificationListNotSent(ctx, notificationdb.NotificationListNotSentParams(narrow))
		return convert(rows, func(r notificationdb.NotificationListNotSentRow) notificationdb.NotificationListRow {
			return notificationdb.NotificationListRow(r)
		}), err
	}
	rows, err := q.NotificationListOpen(ctx, narrow)
	return convert(rows, func(r notificationdb.NotificationListOpenRow) notificationdb.NotificationListRow {
		return notificationdb.NotificationListRow(r)
	}), err
}

// plannedAnew has each query planned for its own parameters: one plan can't fit
// both a list of everything and one by reference.
type plannedAnew struct{ *pgxpool.Pool }

// Query is the pool's, without a prepared statement.
func (p plannedAnew) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.Pool.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func convert[A, B any](list []A, to func(A) B) []B {
	converted := make([]B, 0, len(list))
	for _, a := range list {
		converted = append(converted, to(a))
	}
	return converted
}

// Recipients gives up to max recipients after the given place (-1: from the
// first), in the order of the request; status "" means all.
func (s *Service) Recipients(ctx context.Context, id uuid.UUID, status string, after int16, max int) ([]Recipient, error) {
	q := notificationdb.New(s.db)
	rows, err := q.RecipientList(ctx, notificationdb.RecipientListParams{
		NotificationID: id, Status: optional(status), AfterOrdinal: after, Max: int32(max),
	})
	if err != nil {
		return nil, fmt.Errorf("list recipients: %w", err)
	}
	if len(rows) == 0 {
		exists, err := q.NotificationExists(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("look for notification: %w", err)
		}
		if !exists {
			return nil, errs.Missing()
		}
	}
	recipients := make([]Recipient, 0, len(rows))
	for _, row := range rows {
		recipients = append(recipients, viewRecipient(row))
	}
	return recipients, nil
}

// Attempts gives up to max tries before the given number, newest first.
func (s *Service) Attempts(ctx context.Context, id, recipient uuid.UUID, before int32, max int) ([]Attempt, error) {
	q := notificationdb.New(s.db)
	exists, err := q.RecipientExists(ctx, notificationdb.RecipientExistsParams{ID: recipient, NotificationID: id})
	if err != nil {
		return nil, fmt.Errorf("look for recipient: %w", err)
	}
	if !exists {
		return nil, errs.Missing()
	}
	rows, err := q.AttemptList(ctx, notificationdb.AttemptListParams{RecipientID: recipient, BeforeNumber: before, Max: int32(max)})
	if err != nil {
		return nil, fmt.Errorf("list attempts: %w", err)
	}
	attempts := make([]Attempt, 0, len(rows))
	for _, row := range rows {
		a := Attempt{Number: int(row.Number), At: row.At, Server: row.Server, Reply: row.Reply, Outcome: row.Outcome}
		if row.Code != nil {
			code := int(*row.Code)
			a.Code = &code
		}
		attempts = append(attempts, a)
	}
	return attempts, nil
}

// Cancel ends every recipient that is not yet sent. One that is being sent
// right now ends as its try does, and is not tried again.
func (s *Service) Cancel(ctx context.Context, id uuid.UUID) (Notification, error) {
	return s.change(ctx, id, errNothingToCancel, func(q *notificationdb.Queries) (int64, error) {
		return q.NotificationCancel(ctx, notificationdb.NotificationCancelParams{NotificationID: id, Now: s.now()})
	})
}

// Retry queues failed and uncertain recipients again, now, with the whole time
// until giving up before them.
func (s *Service) Retry(ctx context.Context, id uuid.UUID) (Notification, error) {
	n, err := s.change(ctx, id, errNothingToRetry, func(q *notificationdb.Queries) (int64, error) {
		return q.NotificationRetry(ctx, notificationdb.NotificationRetryParams{
			NotificationID: id, Now: s.now(),
			Quantum: pgtype.Interval{Microseconds: delivery.Quantum.Microseconds(), Valid: true},
		})
	})
	if err == nil {
		s.wake()
	}
	return n, err
}

func (s *Service) change(ctx context.Context, id uuid.UUID, nothing error, do func(*notificationdb.Queries) (int64, error)) (Notification, error) {
	var changed int64
	err := pg.Retry(ctx, func() (err error) {
		changed, err = do(notificationdb.New(s.db))
		return err
	})
	if err != nil {
		return Notification{}, fmt.Errorf("change notification: %w", err)
	}
	n, err := s.Get(ctx, id)
	if err == nil && changed == 0 {
		return Notification{}, nothing
	}
	return n, err
}

// Stats counts the whole queue.
func (s *Service) Stats(ctx context.Context) (Stats, error) {
	q, now := notificationdb.New(s.db), s.now()
	row, err := q.StatsGet(ctx, now)
	if err != nil {
		return Stats{}, fmt.Errorf("count recipients: %w", err)
	}
	sent, err := q.StatsSentSince(ctx, now.Add(-time.Minute))
	if err != nil {
		return Stats{}, fmt.Errorf("count sent mails: %w", err)
	}
	c := Counts{
		Queued: int(row.Queued), Sending: int(row.Sending), Delayed: int(row.Delayed), Sent: int(row.Sent),
		Failed: int(row.Failed), Canceled: int(row.Canceled), Uncertain: int(row.Uncertain),
	}
	c.Total = c.Queued + c.Sending + c.Delayed + c.Sent + c.Failed + c.Canceled + c.Uncertain
	return Stats{Counts: c, OldestDueAge: max(0, now.Sub(row.OldestDueAt)), SentPerMinute: int(sent)}, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func view(n notificationdb.Notification) Notification {
	return Notification{
		ID: n.ID, Subject: n.Subject, Text: n.Text, HTML: n.Html, Requester: n.Requester,
		Reference: n.Reference, Thread: n.Thread, NotBefore: n.NotBefore, CreatedAt: n.CreatedAt,
	}
}

func withResult(row notificationdb.NotificationListRow) Notification {
	n := view(row.Notification)
	n.Status = Status(row.Status)
	if n.Status.isOver() {
		n.CompletedAt = &row.LastFinishedAt
	}
	n.Counts = Counts{
		Total: int(row.Notification.RecipientCount), Queued: int(row.Queued), Sending: int(row.Sending),
		Delayed: int(row.Delayed), Sent: int(row.Sent), Failed: int(row.Failed),
		Canceled: int(row.Canceled), Uncertain: int(row.Uncertain),
	}
	return n
}

func viewRecipient(row notificationdb.RecipientListRow) Recipient {
	r := Recipient{
		ID: row.ID, Ordinal: row.Ordinal, Email: row.Email, Status: row.Status,
		Attempts: int(row.Attempts), LastError: row.LastError,
	}
	switch {
	case row.Sending:
		r.Status = notifyapi.RecipientSending
	case row.FinishedAt == nil:
		r.NextAttemptAt = &row.NextAttemptAt
	case r.Status == notifyapi.RecipientSent:
		r.SentAt = row.FinishedAt
	}
	return r
}

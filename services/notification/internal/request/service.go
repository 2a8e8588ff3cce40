package request

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

// Service has the use cases of requests.
type Service struct {
	db     *pgxpool.Pool
	now    func() time.Time
	domain string
	wake   func(urgent bool)
}

// NewService makes a service. domain is the right side of new mails'
// Message-IDs; wake is called after each commit that made a recipient due.
func NewService(db *pgxpool.Pool, now func() time.Time, domain string, wake func(urgent bool)) *Service {
	return &Service{db: db, now: now, domain: domain, wake: wake}
}

var (
	errNothingToCancel = errs.New(errs.Conflict, errs.CodeConflict, "No recipient can be canceled any more.")
	errNothingToRetry  = errs.New(errs.Conflict, errs.CodeConflict, "No recipient failed or is uncertain, and none has bounced or was suppressed whose address is off the suppression list.")
	errSensitiveRetry  = errs.New(errs.Conflict, errs.CodeConflict,
		"A sensitive notification can't be retried, since its content is erased when it ends. Create a new one.")
	errExpiredRetry = errs.New(errs.Conflict, errs.CodeConflict,
		"The notification has expired, so that nothing of it is sent any more. Create a new one.")
)

// Get returns one notification with its first recipients. Only its own caller
// gets its content, and nobody when it is sensitive.
func (s *Service) Get(ctx context.Context, caller string, id uuid.UUID) (Notification, error) {
	q := notificationdb.New(s.db)
	row, err := q.NotificationGet(ctx, notificationdb.NotificationGetParams{ID: id, Caller: caller})
	if errors.Is(err, pgx.ErrNoRows) {
		return Notification{}, errs.Missing()
	}
	if err != nil {
		return Notification{}, fmt.Errorf("get notification: %w", err)
	}
	n := withResult(resultOf(row))
	if row.ShowsContent {
		n.Content = &Content{Text: row.Text, HTML: optional(row.Html), ReplyTo: optional(row.ReplyTo)}
		if row.Files > 0 {
			if n.Content.Files, err = files(ctx, q, id); err != nil {
				return Notification{}, err
			}
		}
	}
	list := []Notification{n}
	if err := addRecipients(ctx, q, list); err != nil {
		return Notification{}, err
	}
	return list[0], nil
}

// resultOf is a notification's row without its content.
func resultOf(r notificationdb.NotificationGetRow) notificationdb.NotificationListRow {
	return notificationdb.NotificationListRow{
		ID: r.ID, Subject: r.Subject, Requester: r.Requester, Reference: r.Reference, Thread: r.Thread,
		Sensitive: r.Sensitive, Priority: r.Priority, NotBefore: r.NotBefore, ExpiresAt: r.ExpiresAt,
		RecipientCount: r.RecipientCount, CreatedAt: r.CreatedAt,
		Queued: r.Queued, Sending: r.Sending, Delayed: r.Delayed, Sent: r.Sent, Failed: r.Failed,
		Canceled: r.Canceled, Uncertain: r.Uncertain, Expired: r.Expired, Bounced: r.Bounced, Suppressed: r.Suppressed,
		LastFinishedAt: r.LastFinishedAt, Status: r.Status,
	}
}

// addRecipients reads the first recipients of all of them in one query.
func addRecipients(ctx context.Context, q *notificationdb.Queries, list []Notification) error {
	ids, place := make([]uuid.UUID, len(list)), make(map[uuid.UUID]int, len(list))
	for i, n := range list {
		ids[i], place[n.ID] = n.ID, i
	}
	rows, err := q.NotificationRecipients(ctx, notificationdb.NotificationRecipientsParams{NotificationIds: ids, Max: firstRecipients})
	if err != nil {
		return fmt.Errorf("list the first recipients: %w", err)
	}
	for _, r := range rows {
		n := &list[place[r.NotificationID]]
		n.Recipients = append(n.Recipients, recipient(notificationdb.RecipientListRow{
			ID: r.ID, Ordinal: r.Ordinal, Email: r.Email, Status: r.Status, Sending: r.Sending, Attempts: r.Attempts,
			LastError: r.LastError, NextAttemptAt: r.NextAttemptAt, FinishedAt: r.FinishedAt,
		}))
	}
	return nil
}

// List returns up to max notifications older than before, newest first, without
// their content; nil starts at the newest. With recipients each has its first
// ones.
func (s *Service) List(ctx context.Context, f Filter, before *uuid.UUID, max int, recipients bool) ([]Notification, error) {
	p := notificationdb.NotificationListParams{
		BeforeID: uuid.Max, CreatedAfter: time.Unix(0, 0), CreatedBefore: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		Reference: optional(f.Reference), Requester: optional(f.Requester), Status: optional(string(f.Status)), Max: int32(max),
	}
	// Ids are in the order of time, so that the bounds are ranges of the index.
	if !f.CreatedAfter.IsZero() {
		p.CreatedAfter, p.AfterID = f.CreatedAfter, delivery.FirstID(f.CreatedAfter)
	}
	if !f.CreatedBefore.IsZero() {
		p.CreatedBefore, p.BeforeID = f.CreatedBefore, delivery.FirstID(f.CreatedBefore.Add(time.Millisecond))
	}
	if before != nil {
		p.BeforeID = *before
	}
	q := notificationdb.New(plannedAnew{s.db})
	rows, err := listRows(ctx, q, p)
	if err != nil {
		return nil, fmt.Errorf("list notifications: %w", err)
	}
	notifications := make([]Notification, 0, len(rows))
	for _, row := range rows {
		notifications = append(notifications, withResult(row))
	}
	if recipients {
		err = addRecipients(ctx, q, notifications)
	}
	return notifications, err
}

// listRows chooses the query: notifications with a status that is rare among
// millions are found through the recipients that have it.
func listRows(ctx context.Context, q *notificationdb.Queries, p notificationdb.NotificationListParams) ([]notificationdb.NotificationListRow, error) {
	if p.Status == nil || notifyapi.Status(*p.Status) == notifyapi.StatusCompleted {
		return q.NotificationList(ctx, p)
	}
	narrow := notificationdb.NotificationListOpenParams{
		BeforeID: p.BeforeID, AfterID: p.AfterID, CreatedAfter: p.CreatedAfter, CreatedBefore: p.CreatedBefore,
		Reference: p.Reference, Requester: p.Requester, Status: *p.Status, Max: p.Max,
	}
	if isOver(notifyapi.Status(*p.Status)) {
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
// both a list of all notifications and one by reference.
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

// Recipients returns up to max recipients after the given place, in the order of
// the request; nil means from the first, status "" means all.
func (s *Service) Recipients(ctx context.Context, id uuid.UUID, status notifyapi.RecipientStatus, after *int16, max int) ([]Recipient, error) {
	q := notificationdb.New(s.db)
	p := notificationdb.RecipientListParams{
		NotificationID: id, Status: optional(string(status)), AfterOrdinal: -1, Max: int32(max),
	}
	if after != nil {
		p.AfterOrdinal = *after
	}
	rows, err := q.RecipientList(ctx, p)
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
		recipients = append(recipients, recipient(row))
	}
	return recipients, nil
}

// Attempts returns up to max tries before the given number, newest first; nil
// means from the newest.
func (s *Service) Attempts(ctx context.Context, id, recipient uuid.UUID, before *int32, max int) ([]Attempt, error) {
	q := notificationdb.New(s.db)
	exists, err := q.RecipientExists(ctx, notificationdb.RecipientExistsParams{ID: recipient, NotificationID: id})
	if err != nil {
		return nil, fmt.Errorf("look for recipient: %w", err)
	}
	if !exists {
		return nil, errs.Missing()
	}
	p := notificationdb.AttemptListParams{RecipientID: recipient, BeforeNumber: math.MaxInt32, Max: int32(max)}
	if before != nil {
		p.BeforeNumber = *before
	}
	rows, err := q.AttemptList(ctx, p)
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

// Reports returns up to max delivery reports about a recipient's mail, newest
// first, before the one with the given id; nil means from the newest.
func (s *Service) Reports(ctx context.Context, id, recipient uuid.UUID, before *uuid.UUID, max int) ([]Report, error) {
	q := notificationdb.New(s.db)
	exists, err := q.RecipientExists(ctx, notificationdb.RecipientExistsParams{ID: recipient, NotificationID: id})
	if err != nil {
		return nil, fmt.Errorf("look for recipient: %w", err)
	}
	if !exists {
		return nil, errs.Missing()
	}
	p := notificationdb.ReportListParams{RecipientID: recipient, BeforeID: uuid.Max, Max: int32(max)}
	if before != nil {
		p.BeforeID = *before
	}
	rows, err := q.ReportList(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list delivery reports: %w", err)
	}
	reports := make([]Report, 0, len(rows))
	for _, row := range rows {
		r := Report{ID: row.ID, Kind: row.Kind, ReceivedAt: row.ReceivedAt, Status: row.Status, Server: row.Server, Text: row.Text}
		if row.Code != nil {
			code := int(*row.Code)
			r.Code = &code
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// Cancel ends every recipient that is not yet sent. One that is being sent
// right now ends as its try does, and is not tried again.
func (s *Service) Cancel(ctx context.Context, caller string, id uuid.UUID) (Notification, error) {
	return s.change(ctx, caller, id, errNothingToCancel, func(q *notificationdb.Queries) (int64, error) {
		return q.NotificationCancel(ctx, notificationdb.NotificationCancelParams{NotificationID: id, Now: s.now()})
	})
}

// Retry queues failed and uncertain recipients again, and those that bounced or
// were suppressed and whose address is not suppressed any more: due now, with the
// whole time until they are given up. A notification that is sensitive or has expired
// can't be retried.
func (s *Service) Retry(ctx context.Context, caller string, id uuid.UUID) (Notification, error) {
	now := s.now()
	n, err := s.change(ctx, caller, id, errNothingToRetry, func(q *notificationdb.Queries) (int64, error) {
		return q.NotificationRetry(ctx, notificationdb.NotificationRetryParams{
			NotificationID: id, Now: now, Block: delivery.Block, Quantum: delivery.Interval(delivery.Quantum),
			PriorityStep: delivery.Interval(delivery.PriorityStep),
		})
	})
	switch {
	case err == nil:
		s.wake(n.Priority == notifyapi.PriorityUrgent)
	case errors.Is(err, errNothingToRetry) && n.Sensitive:
		err = errSensitiveRetry
	case errors.Is(err, errNothingToRetry) && n.ExpiresAt != nil && !n.ExpiresAt.After(now):
		err = errExpiredRetry
	}
	return n, err
}

// change returns the notification as it is afterwards, with the error nothing
// when no recipient was changed.
func (s *Service) change(ctx context.Context, caller string, id uuid.UUID, nothing error, do func(*notificationdb.Queries) (int64, error)) (Notification, error) {
	var changed int64
	err := pg.Retry(ctx, func() (err error) {
		changed, err = do(notificationdb.New(s.db))
		return err
	})
	if err != nil {
		return Notification{}, fmt.Errorf("change notification: %w", err)
	}
	n, err := s.Get(ctx, caller, id)
	if err == nil && changed == 0 {
		err = nothing
	}
	return n, err
}

// Stats returns the state of the whole queue, at a cost that doesn't depend on
// how many recipients are stored.
func (s *Service) Stats(ctx context.Context) (Stats, error) {
	q, now := notificationdb.New(plannedAnew{s.db}), s.now()
	counts, _, err := delivery.Counts(ctx, q)
	if err != nil {
		return Stats{}, err
	}
	due, err := delivery.OldestDue(ctx, s.db, now)
	if err != nil {
		return Stats{}, err
	}
	sent, err := q.StatsSentSince(ctx, now.Add(-time.Minute))
	if err != nil {
		return Stats{}, fmt.Errorf("count sent mails: %w", err)
	}
	stats := Stats{OldestDueAge: max(0, now.Sub(due)), SentPerMinute: int(sent)}
	for status, n := range counts {
		stats.Counts.Add(status, int(n))
	}
	return stats, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func withResult(row notificationdb.NotificationListRow) Notification {
	n := Notification{
		ID: row.ID, Subject: row.Subject, Requester: row.Requester, Reference: row.Reference, Thread: row.Thread,
		Sensitive: row.Sensitive, Priority: row.Priority, Status: row.Status,
		NotBefore: row.NotBefore, ExpiresAt: row.ExpiresAt, CreatedAt: row.CreatedAt,
		Counts: notifyapi.Counts{
			Total: int(row.RecipientCount), Queued: int(row.Queued), Sending: int(row.Sending),
			Delayed: int(row.Delayed), Sent: int(row.Sent), Failed: int(row.Failed),
			Canceled: int(row.Canceled), Uncertain: int(row.Uncertain), Expired: int(row.Expired),
			Bounced: int(row.Bounced), Suppressed: int(row.Suppressed),
		},
	}
	if isOver(n.Status) {
		n.CompletedAt = &row.LastFinishedAt
	}
	return n
}

func recipient(row notificationdb.RecipientListRow) Recipient {
	r := Recipient{
		ID: row.ID, Ordinal: row.Ordinal, Email: row.Email, Status: row.Status,
		Attempts: int(row.Attempts), LastError: row.LastError,
	}
	switch {
	case row.Sending:
		r.Status = notifyapi.RecipientSending
	case row.FinishedAt == nil:
		r.NextAttemptAt = &row.NextAttemptAt
	case r.Status == notifyapi.RecipientSent, r.Status == notifyapi.RecipientBounced:
		r.SentAt = row.FinishedAt
	}
	return r
}

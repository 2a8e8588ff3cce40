package request

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	lockTimeout = "55P03" // PostgreSQL manual, appendix A
	keyIndex    = "notifications_key"
)

var (
	errMismatch = errs.New(errs.Invalid, errs.CodeIdempotencyMismatch,
		"This Idempotency-Key was used with another body.")
	errInFlight = errs.New(errs.Conflict, errs.CodeIdempotencyInFlight,
		"A request with this Idempotency-Key is in progress. Try again soon.").After(time.Second)
)

// Create stores the request. When an earlier one with the same caller, key and
// body is stored, it returns the same answer: the notification as it was
// accepted, and that it is replayed. A concurrent request with the same key waits for
// the first. What Create returns is durable.
func (s *Service) Create(ctx context.Context, caller, key string, r notifyapi.Request) (n Notification, replayed bool, err error) {
	if err := checkKey(key); err != nil {
		return n, false, err
	}
	hash, err := bodyHash(r)
	if err != nil {
		return n, false, err
	}
	p, fields := s.rows(r)
	if len(fields) > 0 {
		return n, false, errs.Validation(fields...)
	}
	p.Caller, p.IdempotencyKey, p.BodyHash = caller, key, hash
	p.RequestID, p.Traceparent = obs.RequestID(ctx), tracing.Parent(ctx)
	q := notificationdb.New(s.db)
	inserted, err := q.NotificationInsert(ctx, p)
	switch {
	case waitedForKey(err):
		return n, false, errInFlight.Because(err)
	case err != nil:
		return n, false, fmt.Errorf("store notification: %w", err)
	case inserted:
		s.wake(p.Priority == notifyapi.PriorityUrgent)
	}
	stored, err := q.NotificationByKey(ctx, notificationdb.NotificationByKeyParams{Caller: caller, IdempotencyKey: key})
	if err != nil {
		return n, false, fmt.Errorf("read stored notification: %w", err)
	}
	if !slices.Equal(stored.BodyHash, hash) {
		return n, false, errMismatch
	}
	n = accepted(stored)
	if stored.Files > 0 && n.Content != nil {
		n.Content.Files, err = files(ctx, q, stored.ID)
	}
	return n, !inserted, err
}

// files describes the attachments of a notification.
func files(ctx context.Context, q *notificationdb.Queries, id uuid.UUID) ([]notifyapi.AttachmentInfo, error) {
	rows, err := q.NotificationFiles(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("list attachments: %w", err)
	}
	list := make([]notifyapi.AttachmentInfo, 0, len(rows))
	for _, row := range rows {
		list = append(list, notifyapi.AttachmentInfo{Filename: row.Filename, MediaType: row.MediaType, Size: int(row.Size)})
	}
	return list, nil
}

// waitedForKey reports whether err is the timeout of a wait for another
// request with the same key: PostgreSQL names the index in its context. A
// timeout of any other lock has another context.
func waitedForKey(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == lockTimeout && strings.Contains(pgErr.Where, `"`+keyIndex+`"`)
}

// accepted is a notification as it was when it was stored.
func accepted(n notificationdb.Notification) Notification {
	total := int(n.RecipientCount)
	a := Notification{
		ID: n.ID, Subject: n.Subject, Requester: n.Requester, Reference: n.Reference, Thread: n.Thread,
		Sensitive: n.Sensitive, Priority: n.Priority, NotBefore: n.NotBefore, ExpiresAt: n.ExpiresAt, CreatedAt: n.CreatedAt,
		Status: notifyapi.StatusQueued, Counts: notifyapi.Counts{Total: total, Queued: total},
	}
	if !n.Sensitive {
		a.Content = &Content{Text: n.Text, HTML: n.Html, ReplyTo: n.ReplyTo}
	}
	return a
}

// rows checks the rules that the schema of the request can't express and makes
// the rows.
func (s *Service) rows(r notifyapi.Request) (notificationdb.NotificationInsertParams, []errs.Field) {
	now := s.now()
	due, fields := dueAt(r, now)
	expires, expiryFields := expiresAt(r, due, now)
	replyTo, replyFields := replyAddress(r.ReplyTo)
	emails, addressFields := addresses(r.Recipients)
	attached, fileFields := attachments(r.Attachments)
	fields = slices.Concat(fields, expiryFields, checkLines(r), replyFields, checkUnsubscribe(r.UnsubscribeURL), addressFields, fileFields)
	priority := cmp.Or(r.Priority, notifyapi.PriorityNormal)
	p := notificationdb.NotificationInsertParams{
		ID: newID(), Subject: r.Subject, Text: r.Text, Html: r.HTML, Bytes: int32(len(r.Text)),
		Requester: r.Requester, Reference: r.Reference, Thread: r.Thread, MessageDomain: s.domain,
		NotBefore: r.NotBefore, ExpiresAt: expires, ReplyTo: replyTo, UnsubscribeUrl: r.UnsubscribeURL, Sensitive: r.Sensitive, Priority: priority,
		RecipientCount: int32(len(emails)), Files: int16(len(attached)), CreatedAt: now,
		DueAt: due, IsDue: !due.After(now), QueuePriority: delivery.Rank(priority), Emails: emails,
	}
	if r.HTML != nil {
		p.Bytes += int32(len(*r.HTML))
	}
	for i, file := range attached {
		p.FileOrdinals = append(p.FileOrdinals, int16(i))
		p.Filenames = append(p.Filenames, file.Filename)
		p.MediaTypes = append(p.MediaTypes, file.MediaType)
		p.Contents = append(p.Contents, file.Content)
	}
	for i := range emails {
		p.RecipientIds = append(p.RecipientIds, newID())
		p.Ordinals = append(p.Ordinals, int16(i))
		p.QueueAts = append(p.QueueAts, delivery.Place(due, i, priority))
	}
	return p, fields
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

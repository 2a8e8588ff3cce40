package request

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/notification/internal/delivery"
	"fixdesk/services/notification/internal/notificationdb"
)

const (
	maxKeyLength = 200
	lockTimeout  = "55P03" // PostgreSQL manual, appendix A
)

var (
	errMissingKey = errs.New(errs.BadRequest, errs.CodeIdempotencyMissing,
		"The Idempotency-Key header is required, so that a repeated request is stored once.")
	errMismatch = errs.New(errs.Invalid, errs.CodeIdempotencyMismatch,
		"This Idempotency-Key was used with another body.")
	errInFlight = errs.New(errs.Conflict, errs.CodeIdempotencyInFlight,
		"The first request with this Idempotency-Key is still being stored.").After(time.Second)
)

// Create stores the request, or finds it stored by an earlier one with the
// same caller, key and body, and gives the same answer: the notification as it
// was accepted. A concurrent twin waits for the first. What it returned is
// durable.
func (s *Service) Create(ctx context.Context, caller, key string, r notifyapi.Request) (Notification, error) {
	if err := checkKey(key); err != nil {
		return Notification{}, err
	}
	hash, err := bodyHash(r)
	if err != nil {
		return Notification{}, err
	}
	p, fields := s.accept(r)
	if len(fields) > 0 {
		return Notification{}, errs.Validation(fields...)
	}
	p.Caller, p.IdempotencyKey, p.BodyHash = caller, key, hash
	p.RequestID = obs.RequestID(ctx)
	q := notificationdb.New(s.db)
	inserted, err := q.NotificationInsert(ctx, p)
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &pgErr) && pgErr.Code == lockTimeout:
		return Notification{}, errInFlight.Because(err)
	case err != nil:
		return Notification{}, fmt.Errorf("store notification: %w", err)
	case inserted:
		s.wake()
	}
	stored, err := q.NotificationByKey(ctx, notificationdb.NotificationByKeyParams{Caller: caller, IdempotencyKey: key})
	if err != nil {
		return Notification{}, fmt.Errorf("read stored notification: %w", err)
	}
	if !slices.Equal(stored.BodyHash, hash) {
		return Notification{}, errMismatch
	}
	n := view(stored)
	n.Status, n.Counts = "queued", Counts{Total: int(stored.RecipientCount), Queued: int(stored.RecipientCount)}
	return n, nil
}

// accept checks what the schema of the request can't say and makes the rows.
func (s *Service) accept(r notifyapi.Request) (notificationdb.NotificationInsertParams, []errs.Field) {
	now := s.now()
	due, fields := s.due(r, now)
	fields = append(fields, checkLines(r)...)
	emails, addressFields := addresses(r.Recipients)
	fields = append(fields, addressFields...)
	p := notificationdb.NotificationInsertParams{
		ID: newID(), Subject: r.Subject, Text: r.Text, Html: r.HTML, Bytes: int32(len(r.Text)),
		Requester: r.Requester, Reference: r.Reference, Thread: r.Thread, MessageDomain: s.domain,
		NotBefore: r.NotBefore, RecipientCount: int32(len(emails)), CreatedAt: now,
		DueAt: due, IsDue: !due.After(now), Emails: emails,
	}
	if r.HTML != nil {
		p.Bytes += int32(len(*r.HTML))
	}
	for i := range emails {
		p.RecipientIds = append(p.RecipientIds, newID())
		p.Ordinals = append(p.Ordinals, int16(i))
		p.QueueAts = append(p.QueueAts, due.Add(time.Duration(i)*delivery.Quantum))
	}
	return p, fields
}

// due is when the first mail may go out.
func (s *Service) due(r notifyapi.Request, now time.Time) (time.Time, []errs.Field) {
	if r.NotBefore == nil || !r.NotBefore.After(now) {
		return now, nil
	}
	if r.NotBefore.After(now.Add(farthestNotBefore)) {
		return now, []errs.Field{{Location: "body.not_before", Message: "must be at most a year ahead"}}
	}
	return r.NotBefore.UTC().Truncate(time.Microsecond), nil
}

// checkLines refuses control characters where one line is meant: they are how
// headers are smuggled into a mail.
func checkLines(r notifyapi.Request) []errs.Field {
	var fields []errs.Field
	check := func(location, value string) {
		if strings.ContainsFunc(value, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }) {
			fields = append(fields, errs.Field{Location: location, Message: "must be one line without control characters"})
		} else if strings.TrimSpace(value) == "" {
			fields = append(fields, errs.Field{Location: location, Message: "must not be blank"})
		}
	}
	check("body.subject", r.Subject)
	check("body.requester", r.Requester)
	if r.Reference != nil {
		check("body.reference", *r.Reference)
	}
	if r.Thread != nil {
		check("body.thread", *r.Thread)
	}
	return fields
}

// addresses checks each address and drops repeated ones, compared without
// case.
func addresses(list []string) ([]string, []errs.Field) {
	var fields []errs.Field
	emails := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, raw := range list {
		email, err := address.Parse(raw)
		if err != nil {
			fields = append(fields, errs.Field{Location: fmt.Sprintf("body.recipients[%d]", i), Message: err.Error()})
			continue
		}
		if !seen[email] {
			seen[email] = true
			emails = append(emails, email)
		}
	}
	return emails, fields
}

func checkKey(key string) error {
	if key == "" {
		return errMissingKey
	}
	isVisible := func(c rune) bool { return c > ' ' && c < 0x7f }
	if len(key) > maxKeyLength || strings.ContainsFunc(key, func(c rune) bool { return !isVisible(c) }) {
		return errs.Validation(errs.Field{Location: "header.Idempotency-Key", Message: "must be at most 200 visible ASCII characters"})
	}
	return nil
}

// bodyHash identifies what was asked for, whatever the order and spacing of
// its JSON.
func bodyHash(r notifyapi.Request) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("hash body: %w", err)
	}
	sum := sha256.Sum256(body)
	return sum[:], nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

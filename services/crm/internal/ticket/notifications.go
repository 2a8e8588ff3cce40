package ticket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/outbox"
)

// Mail is one notification about a ticket and its result. Status is
// outbox.StatePending or outbox.StateDead until it is posted to the notification
// service, then one of notifyapi.Status.
type Mail struct {
	ID          uuid.UUID // of the outbox entry, then of the notification
	Subject     string
	Status      string
	LastError   *string // why it is not posted
	CreatedAt   time.Time
	CompletedAt *time.Time
	Recipients  []notifyapi.Recipient // the first 100; the service has the rest
}

// MailMark is the beginning of a page of mails: after an outbox entry, or at a
// cursor of the notification service.
type MailMark struct {
	Entry  uuid.UUID `json:"e"`
	Cursor string    `json:"c"`
}

const mailsTimeout = 8 * time.Second

// Mails lists a ticket's mails with their results: first those that are not yet
// posted to the notification service, oldest first, then the posted ones, newest
// first. A mail that is posted meanwhile may be listed twice. The error is
// errs.Unavailable when the service doesn't answer.
func (s *Service) Mails(ctx context.Context, v Viewer, id uuid.UUID, limit int, from *MailMark) ([]Mail, *MailMark, error) {
	if _, err := s.Get(ctx, v, id); err != nil {
		return nil, nil, err
	}
	if from == nil {
		from = &MailMark{}
	}
	var mails []Mail
	if from.Entry != uuid.Max {
		var err error
		if mails, err = s.unpostedMails(ctx, id, from.Entry); err != nil {
			return nil, nil, err
		}
	}
	if len(mails) >= limit {
		return mails[:limit], &MailMark{Entry: mails[limit-1].ID}, nil
	}
	posted, cursor, err := s.postedMails(ctx, id, limit-len(mails), from.Cursor)
	if err != nil || cursor == "" {
		return append(mails, posted...), nil, err
	}
	return append(mails, posted...), &MailMark{Entry: uuid.Max, Cursor: cursor}, nil
}

// unpostedMails returns the mails whose outbox entry is newer than after; ids are
// UUIDv7 and sort by age.
func (s *Service) unpostedMails(ctx context.Context, id, after uuid.UUID) ([]Mail, error) {
	entries, err := outbox.Pending(ctx, crmdb.New(s.pool), id)
	if err != nil {
		return nil, err
	}
	mails := make([]Mail, 0, len(entries))
	for _, e := range entries {
		if slices.Compare(e.ID[:], after[:]) <= 0 {
			continue
		}
		m := Mail{ID: e.ID, Subject: e.Subject, Status: e.State(), LastError: e.LastError, CreatedAt: e.CreatedAt}
		for _, email := range e.Recipients {
			m.Recipients = append(m.Recipients, notifyapi.Recipient{Email: email, Status: notifyapi.RecipientStatus(e.State())})
		}
		mails = append(mails, m)
	}
	return mails, nil
}

// postedMails reads a page of the ticket's notifications, with their recipients,
// in one call of the notification service.
func (s *Service) postedMails(ctx context.Context, id uuid.UUID, limit int, cursor string) ([]Mail, string, error) {
	ctx, cancel := context.WithTimeout(ctx, mailsTimeout)
	defer cancel()
	page, err := s.mails.List(ctx, notifyapi.ListParams{Reference: id.String(), Recipients: true, Limit: limit, Cursor: cursor})
	if err != nil {
		return nil, "", mailsUnavailable(err)
	}
	mails := make([]Mail, len(page.Items))
	for i, n := range page.Items {
		mails[i] = Mail{
			ID: n.ID, Subject: n.Subject, Status: string(n.Status),
			CreatedAt: n.CreatedAt, CompletedAt: n.CompletedAt, Recipients: n.Recipients,
		}
	}
	return mails, page.NextCursor, nil
}

// mailsUnavailable is the error for a list when the notification service did not
// answer, since the list would be incomplete.
func mailsUnavailable(err error) error {
	var answer *notifyapi.Error
	wait := 5 * time.Second
	if errors.As(err, &answer) {
		if answer.Status == http.StatusBadRequest && answer.Code == errs.CodeInvalidCursor {
			return errs.New(errs.BadRequest, errs.CodeInvalidCursor, "The cursor does not belong to this list.")
		}
		wait = max(wait, answer.RetryAfter)
	}
	return fmt.Errorf("list the mails of a ticket: %w", errs.New(errs.Unavailable, errs.CodeUnavailable,
		"The notification service does not answer, so that the results of this ticket's mails are unknown. Try again soon.").Because(err).After(wait))
}

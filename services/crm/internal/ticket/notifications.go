package ticket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/outbox"
)

// Mail is one notification about a ticket and what became of it. Status is
// outbox.Alive or outbox.Dead while the notification service doesn't have it,
// else one of notifyapi.Status.
type Mail struct {
	ID          uuid.UUID // of the outbox entry, then of the notification
	Subject     string
	Status      string
	LastError   *string // why the notification service doesn't have it
	CreatedAt   time.Time
	CompletedAt *time.Time
	Recipients  []notifyapi.Recipient // the first 100; the service keeps the rest
}

// MailMark is where a page of mails begins: behind the outbox entry, or at the
// notification service's own cursor.
type MailMark struct {
	Entry  uuid.UUID `json:"e"`
	Cursor string    `json:"c"`
}

const (
	mailsTimeout     = 8 * time.Second
	mailsConcurrency = 8
)

// Mails tells what became of a ticket's mails: first those that the
// notification service doesn't have yet, oldest first, then those that it has,
// newest first. A mail that is handed over at this moment may show on both
// sides. Without the service's answer there is none: errs.Unavailable.
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
		if mails, err = s.unposted(ctx, id, from.Entry); err != nil {
			return nil, nil, err
		}
	}
	if len(mails) >= limit {
		return mails[:limit], &MailMark{Entry: mails[limit-1].ID}, nil
	}
	posted, cursor, err := s.posted(ctx, id, limit-len(mails), from.Cursor)
	if err != nil || cursor == "" {
		return append(mails, posted...), nil, err
	}
	return append(mails, posted...), &MailMark{Entry: uuid.Max, Cursor: cursor}, nil
}

// unposted gives the mails whose outbox entry came after another; ids are
// UUIDv7 and sort by age.
func (s *Service) unposted(ctx context.Context, id, after uuid.UUID) ([]Mail, error) {
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

// posted asks the notification service for a page, and then for each
// notification's recipients, a few at a time.
func (s *Service) posted(ctx context.Context, id uuid.UUID, limit int, cursor string) ([]Mail, string, error) {
	ctx, cancel := context.WithTimeout(ctx, mailsTimeout)
	defer cancel()
	page, err := s.mails.List(ctx, notifyapi.ListParams{Reference: id.String(), Limit: limit, Cursor: cursor})
	if err != nil {
		return nil, "", mailsUnknown(err)
	}
	mails := make([]Mail, len(page.Items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(mailsConcurrency)
	for i, n := range page.Items {
		group.Go(func() error {
			n, err := s.mails.Get(ctx, n.ID)
			if err != nil {
				return err
			}
			mails[i] = Mail{
				ID: n.ID, Subject: n.Subject, Status: string(n.Status),
				CreatedAt: n.CreatedAt, CompletedAt: n.CompletedAt, Recipients: n.Recipients,
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", mailsUnknown(err)
	}
	return mails, page.NextCursor, nil
}

// mailsUnknown says that the notification service didn't answer, since half an
// answer would pass for the truth.
func mailsUnknown(err error) error {
	var answer *notifyapi.Error
	wait := 5 * time.Second
	if errors.As(err, &answer) {
		if answer.Status == http.StatusBadRequest && answer.Code == errs.CodeInvalidCursor {
			return errs.New(errs.BadRequest, errs.CodeInvalidCursor, "The cursor is not one of this list's.")
		}
		wait = max(wait, answer.RetryAfter)
	}
	return fmt.Errorf("ask for mails: %w", errs.New(errs.Unavailable, errs.CodeUnavailable,
		"The notification service doesn't answer, so what became of this ticket's mails isn't known. Try again soon.").Because(err).After(wait))
}

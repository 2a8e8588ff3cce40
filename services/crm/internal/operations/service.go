// Package operations lets admins see and manage what the notification service does:
// its notifications, their recipients and its queue.
package operations

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/notifyapi"
	"fixdesk/services/crm/internal/identity"
)

// Service calls the notification service for an admin.
type Service struct {
	client *notifyapi.Client
	users  *identity.Service
}

// NewService returns a service whose client's token reads and manages
// notifications.
func NewService(client *notifyapi.Client, users *identity.Service) *Service {
	return &Service{client, users}
}

// callTimeout is how long a call of the notification service takes at most.
const callTimeout = 8 * time.Second

// Notifications lists notifications, newest first, without their content.
func (s *Service) Notifications(ctx context.Context, p notifyapi.ListParams) (notifyapi.Page[notifyapi.Notification], error) {
	return ask(ctx, "list notifications", func(ctx context.Context) (notifyapi.Page[notifyapi.Notification], error) {
		return s.client.List(ctx, p)
	})
}

// Notification returns one.
func (s *Service) Notification(ctx context.Context, id uuid.UUID) (notifyapi.Notification, error) {
	return ask(ctx, "read a notification", func(ctx context.Context) (notifyapi.Notification, error) {
		return s.client.Get(ctx, id)
	})
}

// Recipients lists the recipients of a notification; an empty status means all.
func (s *Service) Recipients(ctx context.Context, id uuid.UUID, status notifyapi.RecipientStatus, limit int, cursor string) (notifyapi.Page[notifyapi.Recipient], error) {
	return ask(ctx, "list recipients", func(ctx context.Context) (notifyapi.Page[notifyapi.Recipient], error) {
		return s.client.Recipients(ctx, id, status, limit, cursor)
	})
}

// Attempts lists every try to mail one recipient.
func (s *Service) Attempts(ctx context.Context, id, recipient uuid.UUID, limit int, cursor string) (notifyapi.Page[notifyapi.Attempt], error) {
	return ask(ctx, "list attempts", func(ctx context.Context) (notifyapi.Page[notifyapi.Attempt], error) {
		return s.client.Attempts(ctx, id, recipient, limit, cursor)
	})
}

// Reports lists what mail servers reported about one recipient's mail.
func (s *Service) Reports(ctx context.Context, id, recipient uuid.UUID, limit int, cursor string) (notifyapi.Page[notifyapi.DeliveryReport], error) {
	return ask(ctx, "list delivery reports", func(ctx context.Context) (notifyapi.Page[notifyapi.DeliveryReport], error) {
		return s.client.Reports(ctx, id, recipient, limit, cursor)
	})
}

// Cancel cancels what is not yet sent; errs.CodeConflict where nothing is left.
func (s *Service) Cancel(ctx context.Context, id uuid.UUID) (notifyapi.Notification, error) {
	return ask(ctx, "cancel a notification", func(ctx context.Context) (notifyapi.Notification, error) {
		return s.client.Cancel(ctx, id)
	})
}

// Retry queues failed and uncertain recipients again; errs.CodeConflict where there
// are none.
func (s *Service) Retry(ctx context.Context, id uuid.UUID) (notifyapi.Notification, error) {
	return ask(ctx, "retry a notification", func(ctx context.Context) (notifyapi.Notification, error) {
		return s.client.Retry(ctx, id)
	})
}

// Queue returns the state of the whole mail queue.
func (s *Service) Queue(ctx context.Context) (notifyapi.Stats, error) {
	return ask(ctx, "read the mail queue", s.client.Stats)
}

// ask calls the notification service. Its refusals of what an admin asked are
// answered as they are; everything else is an outage.
func ask[T any](ctx context.Context, doing string, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := call(ctx)
	if err != nil {
		return got, fmt.Errorf("%s: %w", doing, translate(err))
	}
	return got, nil
}

const minWait = 5 * time.Second

func translate(err error) error {
	wait := minWait
	var answer *notifyapi.Error
	if errors.As(err, &answer) {
		switch {
		case answer.Status == http.StatusNotFound:
			return errs.Missing()
		case answer.Status == http.StatusConflict:
			return errs.New(errs.Conflict, errs.CodeConflict, answer.Detail)
		case answer.Code == errs.CodeInvalidCursor:
			return errs.New(errs.BadRequest, errs.CodeInvalidCursor, "The cursor does not belong to this list.")
		}
		wait = max(wait, answer.RetryAfter)
	}
	return errs.New(errs.Unavailable, errs.CodeUnavailable, "The notification service does not answer. Try again soon.").Because(err).After(wait)
}

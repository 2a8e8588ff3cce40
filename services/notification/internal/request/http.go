package request

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const (
	tag = "notifications"
	// firstRecipients is how many come with a notification.
	firstRecipients = 100
)

type callerKey struct{}

// WithCaller returns a context that says whose token the request carries: the
// keys of different callers never meet.
func WithCaller(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, callerKey{}, subject)
}

// Caller is the subject that WithCaller put into ctx, "" if none.
func Caller(ctx context.Context) string {
	subject, _ := ctx.Value(callerKey{}).(string)
	return subject
}

// Register mounts this room's routes.
func Register(api *httpapi.API, s *Service) {
	registerWrite(api, s)
	registerRead(api, s)
	registerManage(api, s)
}

type createInput struct {
	Key  string `header:"Idempotency-Key" maxLength:"1000" doc:"Required. The caller's own name for this request, 1 to 200 visible ASCII characters; a repeat with the same key is stored once."`
	Body notifyapi.Request
}

type createOutput struct {
	Location string `header:"Location"`
	Body     notificationBody
}

func registerWrite(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/notifications", ID: "notification-create", Tag: tag,
		Summary: "Raise a notification", Status: http.StatusAccepted, Allow: []string{notifyapi.ScopeWrite},
		Description: "Stores the request, durable before the answer, and mails each recipient separately. " +
			"The same key and body give the same answer again: the notification as it was accepted.",
		Errors: []string{errs.CodeIdempotencyMissing, errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight},
	}, func(ctx context.Context, in *createInput) (*createOutput, error) {
		n, err := s.Create(ctx, Caller(ctx), in.Key, in.Body)
		if err != nil {
			return nil, err
		}
		return &createOutput{Location: path(n.ID), Body: viewBody(n)}, nil
	})
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type listInput struct {
	httpapi.PageParams
	Reference     string    `query:"reference" minLength:"1" maxLength:"200"`
	Requester     string    `query:"requester" minLength:"1" maxLength:"200"`
	Status        string    `query:"status" enum:"queued,processing,completed,partially_failed,failed,canceled"`
	CreatedAfter  time.Time `query:"created_after"`
	CreatedBefore time.Time `query:"created_before"`
}

type recipientsInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	httpapi.PageParams
	Status string `query:"status" enum:"queued,sending,delayed,sent,failed,canceled,uncertain"`
}

type attemptsInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
	httpapi.PageParams
	Recipient uuid.UUID `path:"recipient_id" format:"uuid"`
}

type notificationOutput struct{ Body notificationBody }

type pageOutput[T any] struct{ Body httpapi.Page[T] }

func registerRead(api *httpapi.API, s *Service) {
	read := []string{notifyapi.ScopeRead}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}", ID: "notification-get", Tag: tag,
		Summary: "The result of a notification", Description: "With its first 100 recipients; recipients_next leads to the rest.",
		Allow: read, Errors: []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*notificationOutput, error) { return get(ctx, s, in.ID) })

	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications", ID: "notification-list", Tag: tag,
		Summary: "Notifications, newest first", Allow: read, Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listInput) (*pageOutput[notificationBody], error) {
		return list(ctx, s, in)
	})

	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}/recipients", ID: "recipient-list", Tag: tag,
		Summary: "Recipients, in the order of the request", Allow: read, Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *recipientsInput) (*pageOutput[recipientBody], error) {
		return listRecipients(ctx, s, in)
	})

	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}/recipients/{recipient_id}/attempts", ID: "attempt-list", Tag: tag,
		Summary: "Every try to mail one recipient, newest first", Allow: read, Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *attemptsInput) (*pageOutput[attemptBody], error) {
		return listAttempts(ctx, s, in)
	})

	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/stats", ID: "stats-get", Tag: tag,
		Summary: "The state of the queue", Allow: read,
	}, func(ctx context.Context, _ *struct{}) (*statsOutput, error) {
		stats, err := s.Stats(ctx)
		if err != nil {
			return nil, err
		}
		return &statsOutput{Body: viewStats(stats)}, nil
	})
}

func registerManage(api *httpapi.API, s *Service) {
	manage := []string{notifyapi.ScopeManage}
	register := func(verb, summary string, do func(context.Context, uuid.UUID) (Notification, error)) {
		httpapi.Register(api, httpapi.Operation{
			Method: http.MethodPost, Path: "/v1/notifications/{id}/" + verb, ID: "notification-" + verb, Tag: tag,
			Summary: summary, Allow: manage, Errors: []string{errs.CodeNotFound, errs.CodeConflict},
		}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
			if _, err := do(ctx, in.ID); err != nil {
				return nil, err
			}
			return get(ctx, s, in.ID)
		})
	}
	register("cancel", "Cancel what is not yet sent", s.Cancel)
	register("retry", "Queue failed and uncertain recipients again", s.Retry)
}

func get(ctx context.Context, s *Service, id uuid.UUID) (*notificationOutput, error) {
	n, err := s.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	page, err := listRecipients(ctx, s, &recipientsInput{
		ID: id, PageParams: httpapi.PageParams{Limit: firstRecipients},
	})
	if err != nil {
		return nil, err
	}
	body := viewBody(n)
	body.Recipients = page.Body.Items
	if page.Body.NextCursor != "" {
		body.RecipientsNext = path(id) + "/recipients?limit=100&cursor=" + page.Body.NextCursor
	}
	return &notificationOutput{body}, nil
}

func list(ctx context.Context, s *Service, in *listInput) (*pageOutput[notificationBody], error) {
	filter := Filter{
		Reference: in.Reference, Requester: in.Requester, Status: in.Status,
		CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore,
	}
	return page(in.PageParams, []any{"notifications", filter}, uuid.Nil,
		func(before uuid.UUID, n int) ([]Notification, error) { return s.List(ctx, filter, before, n) },
		func(n Notification) uuid.UUID { return n.ID }, viewBody)
}

func listRecipients(ctx context.Context, s *Service, in *recipientsInput) (*pageOutput[recipientBody], error) {
	return page(in.PageParams, []any{"recipients", in.ID, in.Status}, int16(-1),
		func(after int16, n int) ([]Recipient, error) { return s.Recipients(ctx, in.ID, in.Status, after, n) },
		func(r Recipient) int16 { return r.Ordinal }, viewRecipientBody)
}

func listAttempts(ctx context.Context, s *Service, in *attemptsInput) (*pageOutput[attemptBody], error) {
	return page(in.PageParams, []any{"attempts", in.ID, in.Recipient}, int32(math.MaxInt32),
		func(before int32, n int) ([]Attempt, error) { return s.Attempts(ctx, in.ID, in.Recipient, before, n) },
		func(a Attempt) int32 { return int32(a.Number) }, viewAttempt)
}

// page fetches one more than asked for, to know whether there is a next page.
func page[T, P, V any](params httpapi.PageParams, filters any, start P,
	fetch func(from P, n int) ([]T, error), position func(T) P, view func(T) V,
) (*pageOutput[V], error) {
	if params.Cursor != "" {
		var err error
		if start, err = httpapi.DecodeCursor[P](params.Cursor, filters); err != nil {
			return nil, err
		}
	}
	rows, err := fetch(start, params.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(rows) > params.Limit {
		rows = rows[:params.Limit]
		if next, err = httpapi.EncodeCursor(position(rows[len(rows)-1]), filters); err != nil {
			return nil, err
		}
	}
	views := make([]V, 0, len(rows))
	for _, row := range rows {
		views = append(views, view(row))
	}
	return &pageOutput[V]{httpapi.NewPage(views, next)}, nil
}

func path(id uuid.UUID) string { return "/v1/notifications/" + id.String() }

package request

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const (
	tag = "notifications"
	// firstRecipients is how many recipients the answer with a notification has.
	firstRecipients = 100
	// maxRequest is the size of the largest request, in bytes: attachments in base64 and
	// 1 MiB for the rest.
	maxRequest = 8 << 20
)

type callerKey struct{}

// WithCaller returns a context with the subject of the request's token. Different
// callers have different keys, and content is readable only by its caller.
func WithCaller(ctx context.Context, subject string) context.Context {
	return context.WithValue(ctx, callerKey{}, subject)
}

// Caller is the subject that WithCaller put into ctx, "" if none.
func Caller(ctx context.Context) string {
	subject, _ := ctx.Value(callerKey{}).(string)
	return subject
}

// Register adds the routes of notifications to the API.
func Register(api *httpapi.API, s *Service) {
	registerEnums(api)
	registerWrite(api, s)
	registerRead(api, s)
	registerManage(api, s)
}

type createInput struct {
	Key  string `header:"Idempotency-Key" minLength:"1" maxLength:"1000" doc:"The caller's own name for this request, 1 to 200 visible ASCII characters. A repeat with the same key is stored once." example:"019bb1a3-3741-7b11-8c3d-4e5f60718293"`
	Body createNotificationRequest
}

type createOutput struct {
	Location string `header:"Location" doc:"The path of the notification."`
	Replayed string `header:"Idempotency-Replayed"`
	Body     notificationBody
}

func registerWrite(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/notifications", ID: "create-notification", Tag: tag,
		Summary: "Create a notification", Status: http.StatusAccepted, Allow: []string{notifyapi.ScopeWrite},
		Description: "Stores the request, durable before the answer, and mails each recipient separately. " +
			"The same key and body get the same answer again: the notification as it was accepted. " +
			"The same key with another body is refused; keys of different callers (the token's sub) are different. " +
			"The content of a sensitive one is in no answer, and is erased when the notification has ended. " +
			"A body with attachments may have 8 MiB, any other 1 MiB.",
		LargeBody: &httpapi.LargeBody{Max: maxRequest, Member: "attachments"},
		Errors:    []string{errs.CodeIdempotencyMissing, errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight},
		Requires:  []string{"Idempotency-Key"}, RequestExample: exampleRequest, Example: exampleAccepted,
	}, func(ctx context.Context, in *createInput) (*createOutput, error) {
		n, replayed, err := s.Create(ctx, Caller(ctx), in.Key, notifyapi.Request(in.Body))
		if err != nil {
			return nil, err
		}
		out := &createOutput{Location: path(n.ID), Body: viewBody(n)}
		if replayed {
			out.Replayed = "true"
		}
		return out, nil
	})
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The notification's id."`
}

type listInput struct {
	httpapi.PageParams
	Reference     string           `query:"reference" minLength:"1" maxLength:"200" doc:"Those with this reference."`
	Requester     string           `query:"requester" minLength:"1" maxLength:"200" doc:"Those of this requester."`
	Status        notifyapi.Status `query:"status" doc:"Those with this status."`
	CreatedAfter  time.Time        `query:"created_after" doc:"Those created after this time."`
	CreatedBefore time.Time        `query:"created_before" doc:"Those created before this time."`
	Include       string           `query:"include" enum:"recipients" doc:"recipients: each notification has its first 100 recipients."`
}

type recipientsInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The notification's id."`
	httpapi.PageParams
	Status notifyapi.RecipientStatus `query:"status" doc:"Those with this status."`
}

type attemptsInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The notification's id."`
	httpapi.PageParams
	Recipient uuid.UUID `path:"recipient_id" format:"uuid" doc:"The recipient's id."`
}

type notificationOutput struct{ Body notificationBody }

func registerRead(api *httpapi.API, s *Service) {
	read := []string{notifyapi.ScopeRead}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}", ID: "get-notification", Tag: tag,
		Summary: "Get a notification and its result",
		Description: "With its first 100 recipients; recipients_next is the path of the rest. " +
			"text, html and reply_to are there for the caller that created it (the token's sub) alone, and never when it is sensitive.",
		Allow: read, Resource: true, Errors: []string{errs.CodeNotFound}, Example: exampleDelayed,
	}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
		n, err := s.Get(ctx, Caller(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		return &notificationOutput{viewBody(n)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications", ID: "list-notifications", Tag: tag,
		Summary:     "List notifications, newest first",
		Description: "Without their content. include=recipients adds the first 100 recipients of each.",
		Allow:       read, Errors: []string{errs.CodeInvalidCursor}, Example: exampleList,
	}, func(ctx context.Context, in *listInput) (*httpapi.PageOutput[notificationBody], error) {
		return list(ctx, s, in)
	})
	registerReadParts(api, s, read)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}/recipients/{recipient_id}/reports", ID: "list-delivery-reports", Tag: tag,
		Summary:     "List the delivery reports about one recipient's mail",
		Description: "Newest first: what mail servers said after they had taken the mail (RFC 3464), and complaints (RFC 5965).",
		Allow:       read, Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor}, Example: exampleReports,
	}, func(ctx context.Context, in *attemptsInput) (*httpapi.PageOutput[reportBody], error) {
		return listReports(ctx, s, in)
	})
}

func registerReadParts(api *httpapi.API, s *Service, read []string) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}/recipients", ID: "list-recipients", Tag: tag,
		Summary: "List a notification's recipients", Description: "In the order of the request.",
		Allow: read, Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor}, Example: exampleRecipients,
	}, func(ctx context.Context, in *recipientsInput) (*httpapi.PageOutput[recipientBody], error) {
		return listRecipients(ctx, s, in)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/notifications/{id}/recipients/{recipient_id}/attempts", ID: "list-attempts", Tag: tag,
		Summary: "List the tries to mail one recipient", Description: "Newest first, each with the mail server's own reply.",
		Allow: read, Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor}, Example: exampleAttempts,
	}, func(ctx context.Context, in *attemptsInput) (*httpapi.PageOutput[attemptBody], error) {
		return listAttempts(ctx, s, in)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/stats", ID: "get-stats", Tag: "stats",
		Summary: "Get the state of the queue", Description: "Of all callers' notifications together.",
		Allow: read, Example: exampleStats,
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
	register := func(verb, summary, description string, example notificationBody, do func(ctx context.Context, caller string, id uuid.UUID) (Notification, error)) {
		httpapi.Register(api, httpapi.Operation{
			Method: http.MethodPost, Path: "/v1/notifications/{id}/" + verb, ID: verb + "-notification", Tag: tag,
			Summary: summary, Description: description, Allow: manage,
			Errors: []string{errs.CodeNotFound, errs.CodeConflict}, Example: example,
		}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
			n, err := do(ctx, Caller(ctx), in.ID)
			if err != nil {
				return nil, err
			}
			return &notificationOutput{viewBody(n)}, nil
		})
	}
	register("cancel", "Cancel what is not yet sent",
		"A mail that is being sent at this moment ends as its try does, and is not tried again. 409 when nothing is left to cancel.",
		exampleCanceled, s.Cancel)
	register("retry", "Queue failed and uncertain recipients again",
		"They are due at once. Recipients that bounced or were suppressed are queued, too, once their address is off the suppression list. 409 when there are none, for a sensitive notification, whose content is erased when it is over, and for one that has expired.",
		exampleRetried, s.Retry)
}

func list(ctx context.Context, s *Service, in *listInput) (*httpapi.PageOutput[notificationBody], error) {
	filter := Filter{
		Reference: in.Reference, Requester: in.Requester, Status: in.Status,
		CreatedAfter: in.CreatedAfter, CreatedBefore: in.CreatedBefore,
	}
	return httpapi.Pager[Notification, uuid.UUID, notificationBody]{
		Filters: []any{"notifications", filter},
		Fetch: func(before *uuid.UUID, n int) ([]Notification, error) {
			return s.List(ctx, filter, before, n, in.Include == "recipients")
		},
		Position: func(n Notification) uuid.UUID { return n.ID }, View: viewBody,
	}.Page(ctx, in.PageParams)
}

// recipientFilters are those of the list of recipients.
func recipientFilters(id uuid.UUID, status notifyapi.RecipientStatus) []any {
	return []any{"recipients", id, status}
}

func listRecipients(ctx context.Context, s *Service, in *recipientsInput) (*httpapi.PageOutput[recipientBody], error) {
	return httpapi.Pager[Recipient, int16, recipientBody]{
		Filters:  recipientFilters(in.ID, in.Status),
		Fetch:    func(after *int16, n int) ([]Recipient, error) { return s.Recipients(ctx, in.ID, in.Status, after, n) },
		Position: func(r Recipient) int16 { return r.Ordinal }, View: viewRecipient,
	}.Page(ctx, in.PageParams)
}

func listAttempts(ctx context.Context, s *Service, in *attemptsInput) (*httpapi.PageOutput[attemptBody], error) {
	return httpapi.Pager[Attempt, int32, attemptBody]{
		Filters:  []any{"attempts", in.ID, in.Recipient},
		Fetch:    func(before *int32, n int) ([]Attempt, error) { return s.Attempts(ctx, in.ID, in.Recipient, before, n) },
		Position: func(a Attempt) int32 { return int32(a.Number) }, View: viewAttempt,
	}.Page(ctx, in.PageParams)
}

func listReports(ctx context.Context, s *Service, in *attemptsInput) (*httpapi.PageOutput[reportBody], error) {
	return httpapi.Pager[Report, uuid.UUID, reportBody]{
		Filters: []any{"reports", in.ID, in.Recipient},
		Fetch: func(before *uuid.UUID, n int) ([]Report, error) {
			return s.Reports(ctx, in.ID, in.Recipient, before, n)
		},
		Position: func(r Report) uuid.UUID { return r.ID }, View: viewReport,
	}.Page(ctx, in.PageParams)
}

func path(id uuid.UUID) string { return "/v1/notifications/" + id.String() }

// recipientsPath is the page of the recipients that follow one.
func recipientsPath(id uuid.UUID, after int16) string {
	cursor, err := httpapi.EncodeCursor(after, recipientFilters(id, ""))
	if err != nil {
		panic(fmt.Sprintf("a cursor of a number and an id can't be made: %v", err))
	}
	return fmt.Sprintf("%s/recipients?limit=%d&cursor=%s", path(id), firstRecipients, cursor)
}

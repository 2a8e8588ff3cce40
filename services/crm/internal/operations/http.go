package operations

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

const tag = "operations"

var adminOnly = []string{"admin"}

// Register adds the operations on mails, which are for admins.
func Register(api *httpapi.API, s *Service) {
	registerRead(api, s)
	registerManage(api, s)
	registerSuppressions(api, s)
}

type listInput struct {
	httpapi.PageParams
	Status    notifyapi.Status `query:"status" enum:"queued,processing,completed,partially_failed,failed,canceled" doc:"Only notifications in this state."`
	Reference string           `query:"reference" minLength:"1" maxLength:"200" doc:"Only those about this: a ticket's or a user's id."`
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The notification."`
}

type recipientsInput struct {
	httpapi.PageParams
	ID     uuid.UUID                 `path:"id" format:"uuid" doc:"The notification."`
	Status notifyapi.RecipientStatus `query:"status" enum:"queued,sending,delayed,sent,failed,canceled,uncertain,expired,bounced,suppressed" doc:"Only recipients in this state."`
}

type attemptsInput struct {
	httpapi.PageParams
	ID        uuid.UUID `path:"id" format:"uuid" doc:"The notification."`
	Recipient uuid.UUID `path:"recipient_id" format:"uuid" doc:"The recipient."`
}

type notificationOutput struct{ Body deliveryView }

type queueOutput struct{ Body mailQueueView }

func answer(n notifyapi.Notification, err error) (*notificationOutput, error) {
	if err != nil {
		return nil, err
	}
	return &notificationOutput{viewDelivery(n)}, nil
}

func page[Item, View any](ctx context.Context, p notifyapi.Page[Item], err error, view func(Item) View) (*httpapi.PageOutput[View], error) {
	if err != nil {
		return nil, err
	}
	items := make([]View, len(p.Items))
	for i, item := range p.Items {
		items[i] = view(item)
	}
	return httpapi.NewPageOutput(ctx, items, p.NextCursor), nil
}

func registerRead(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/notifications", ID: "list-sent-notifications", Tag: tag, Allow: adminOnly,
		Summary: "Notifications of the notification service", Description: "Newest first, without their content.",
		Errors: []string{errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *listInput) (*httpapi.PageOutput[deliveryView], error) {
		p, err := s.Notifications(ctx, notifyapi.ListParams{Status: in.Status, Reference: in.Reference, Limit: in.Limit, Cursor: in.Cursor})
		return page(ctx, p, err, viewDelivery)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/notifications/{id}", Resource: true, ID: "get-sent-notification", Tag: tag, Allow: adminOnly,
		Summary: "The result of a notification", Description: "Without its content, which is for its recipients.",
		Errors: []string{errs.CodeNotFound},
	}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
		return answer(s.Notification(ctx, in.ID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/notifications/{id}/recipients", ID: "list-recipients", Tag: tag, Allow: adminOnly,
		Summary: "The recipients of a notification", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *recipientsInput) (*httpapi.PageOutput[deliveryRecipientView], error) {
		p, err := s.Recipients(ctx, in.ID, in.Status, in.Limit, in.Cursor)
		return page(ctx, p, err, viewRecipient)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/notifications/{id}/recipients/{recipient_id}/attempts", ID: "list-attempts", Tag: tag, Allow: adminOnly,
		Summary: "Every try to mail a recipient", Description: "With the mail server's own answer.", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *attemptsInput) (*httpapi.PageOutput[deliveryAttemptView], error) {
		p, err := s.Attempts(ctx, in.ID, in.Recipient, in.Limit, in.Cursor)
		return page(ctx, p, err, viewAttempt)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/notifications/{id}/recipients/{recipient_id}/reports", ID: "list-delivery-reports", Tag: tag, Allow: adminOnly,
		Summary: "What mail servers reported about a recipient's mail", Description: "Newest first, after they had taken it: failures, delays and complaints.", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, func(ctx context.Context, in *attemptsInput) (*httpapi.PageOutput[deliveryReportView], error) {
		p, err := s.Reports(ctx, in.ID, in.Recipient, in.Limit, in.Cursor)
		return page(ctx, p, err, viewReport)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/operations/queue", ID: "get-mail-queue", Tag: tag, Allow: adminOnly,
		Summary: "The state of the mail queue", Description: "503 while the notification service does not answer.",
	}, func(ctx context.Context, _ *struct{}) (*queueOutput, error) {
		stats, err := s.Queue(ctx)
		if err != nil {
			return nil, err
		}
		return &queueOutput{viewQueue(stats)}, nil
	})
}

func registerManage(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/operations/notifications/{id}/cancel", ID: "cancel-notification", Tag: tag, Allow: adminOnly, Status: http.StatusOK,
		Summary: "Cancel what is not yet sent", Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
		return answer(s.Cancel(ctx, in.ID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/operations/notifications/{id}/retry", ID: "retry-notification", Tag: tag, Allow: adminOnly, Status: http.StatusOK,
		Summary: "Queue failed and uncertain recipients again", Description: "And those that bounced or were suppressed, once their address is off the suppression list.", Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, func(ctx context.Context, in *idInput) (*notificationOutput, error) {
		return answer(s.Retry(ctx, in.ID))
	})
}

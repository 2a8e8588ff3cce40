package ticket

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
)

func registerNotifications(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/notifications", ID: "list-ticket-notifications", Tag: "tickets", Allow: staff, Scope: identity.ScopeTicketsRead,
		Summary: "A ticket's mails and their results, recipient by recipient",
		Description: "First the mails that are not yet posted to the notification service, oldest first: pending will be posted, dead was refused permanently and waits for an admin (see /v1/outbox). " +
			"Then those that it has, newest first, with their first 100 recipients. A mail that is posted at this moment may be listed twice. " +
			"503 when the notification service doesn't answer.",
		Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor}, Example: exampleMails,
	}, h.notifications)
}

type mailStatus string

var mailStatuses = []mailStatus{"pending", "dead", "queued", "processing", "completed", "partially_failed", "failed", "canceled"}

type mailRecipientStatus string

var mailRecipientStatuses = []mailRecipientStatus{"pending", "dead", "queued", "sending", "delayed", "sent", "failed", "canceled", "uncertain", "expired", "bounced", "suppressed"}

type ticketMailView struct {
	ID          uuid.UUID                      `json:"id" format:"uuid" doc:"Of the notification at the notification service; of the outbox entry while pending or dead."`
	Subject     string                         `json:"subject" doc:"Of the mail."`
	Status      mailStatus                     `json:"status" doc:"What became of the mail."`
	LastError   *string                        `json:"last_error" doc:"Why it is not posted to the notification service; null when it is posted or was not tried yet."`
	CreatedAt   httpapi.Time                   `json:"created_at" doc:"When the mail was written."`
	CompletedAt httpapi.Nullable[httpapi.Time] `json:"completed_at" doc:"When the last recipient was settled; null until then."`
	Recipients  []mailRecipientView            `json:"recipients" nullable:"false" doc:"The first 100."`
}

type mailRecipientView struct {
	Email         string                         `json:"email" doc:"The recipient's address."`
	Status        mailRecipientStatus            `json:"status" doc:"What became of the mail for this recipient."`
	Attempts      int                            `json:"attempts" doc:"Attempts to send the mail."`
	LastError     *string                        `json:"last_error" doc:"Why the last attempt failed; null if none did."`
	NextAttemptAt httpapi.Nullable[httpapi.Time] `json:"next_attempt_at" doc:"The earliest time of the next try; null when there will be none."`
	SentAt        httpapi.Nullable[httpapi.Time] `json:"sent_at" doc:"When a mail server took it; null until then."`
}

func viewMail(m Mail) ticketMailView {
	v := ticketMailView{
		ID: m.ID, Subject: m.Subject, Status: mailStatus(m.Status), LastError: m.LastError,
		CreatedAt: httpapi.NewTime(m.CreatedAt), CompletedAt: httpapi.NullTime(m.CompletedAt),
		Recipients: make([]mailRecipientView, len(m.Recipients)),
	}
	for i, r := range m.Recipients {
		v.Recipients[i] = mailRecipientView{
			Email: r.Email, Status: mailRecipientStatus(r.Status), Attempts: r.Attempts, LastError: r.LastError,
			NextAttemptAt: httpapi.NullTime(r.NextAttemptAt), SentAt: httpapi.NullTime(r.SentAt),
		}
	}
	return v
}

func (h handlers) notifications(ctx context.Context, in *conversationInput) (*httpapi.PageOutput[ticketMailView], error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	scope := "notifications" + id.String()
	var from *MailMark
	if in.Cursor != "" {
		mark, err := httpapi.DecodeCursor[MailMark](in.Cursor, scope)
		if err != nil {
			return nil, err
		}
		from = &mark
	}
	mails, mark, err := h.s.Mails(ctx, ViewerFrom(ctx), id, in.Limit, from)
	if err != nil {
		return nil, err
	}
	next := ""
	if mark != nil {
		if next, err = httpapi.EncodeCursor(*mark, scope); err != nil {
			return nil, err
		}
	}
	items := make([]ticketMailView, len(mails))
	for i, m := range mails {
		items[i] = viewMail(m)
	}
	return httpapi.NewPageOutput(ctx, items, next), nil
}

package operations

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

type deliveryView struct {
	ID          uuid.UUID                      `json:"id" format:"uuid"`
	Subject     string                         `json:"subject"`
	Requester   string                         `json:"requester" doc:"Who or what asked for it."`
	Reference   httpapi.Nullable[string]       `json:"reference" doc:"What it is about: a ticket's or a user's id."`
	Sensitive   bool                           `json:"sensitive" doc:"It carries a secret, and can't be retried."`
	Status      notifyapi.Status               `json:"status" enum:"queued,processing,completed,partially_failed,failed,canceled"`
	CreatedAt   httpapi.Time                   `json:"created_at"`
	CompletedAt httpapi.Nullable[httpapi.Time] `json:"completed_at" doc:"When the last recipient was settled; null until then."`
	Counts      deliveryCountsView             `json:"counts"`
}

// deliveryCountsView is how many recipients are in each state.
type deliveryCountsView notifyapi.Counts

func nullable[T any](value *T) httpapi.Nullable[T] { return httpapi.Nullable[T]{Value: value} }

func viewDelivery(n notifyapi.Notification) deliveryView {
	return deliveryView{
		ID: n.ID, Subject: n.Subject, Requester: n.Requester, Reference: nullable(n.Reference), Sensitive: n.Sensitive, Status: n.Status,
		CreatedAt: httpapi.NewTime(n.CreatedAt), CompletedAt: httpapi.NullTime(n.CompletedAt), Counts: deliveryCountsView(n.Counts),
	}
}

type deliveryRecipientView struct {
	ID            uuid.UUID                      `json:"id" format:"uuid"`
	Email         string                         `json:"email" format:"email"`
	Status        notifyapi.RecipientStatus      `json:"status" enum:"queued,sending,delayed,sent,failed,canceled,uncertain,expired,bounced,suppressed"`
	Attempts      int                            `json:"attempts"`
	LastError     httpapi.Nullable[string]       `json:"last_error" doc:"Why the last attempt failed."`
	NextAttemptAt httpapi.Nullable[httpapi.Time] `json:"next_attempt_at" doc:"The earliest time of the next attempt; null when there will be none."`
	SentAt        httpapi.Nullable[httpapi.Time] `json:"sent_at"`
}

func viewRecipient(r notifyapi.Recipient) deliveryRecipientView {
	return deliveryRecipientView{
		ID: r.ID, Email: r.Email, Status: r.Status, Attempts: r.Attempts, LastError: nullable(r.LastError),
		NextAttemptAt: httpapi.NullTime(r.NextAttemptAt), SentAt: httpapi.NullTime(r.SentAt),
	}
}

type deliveryAttemptView struct {
	Number  int                   `json:"number" doc:"1 is the first attempt."`
	At      httpapi.Time          `json:"at"`
	Server  string                `json:"server" doc:"The mail server, host and port."`
	Code    httpapi.Nullable[int] `json:"code" doc:"The server's reply code (RFC 5321, section 4.2); null when it gave none."`
	Reply   string                `json:"reply" doc:"The server's own text, or what broke."`
	Outcome notifyapi.Outcome     `json:"outcome" enum:"sent,temporary,permanent,uncertain"`
}

func viewAttempt(a notifyapi.Attempt) deliveryAttemptView {
	return deliveryAttemptView{Number: a.Number, At: httpapi.NewTime(a.At), Server: a.Server, Code: nullable(a.Code), Reply: a.Reply, Outcome: a.Outcome}
}

type deliveryReportView struct {
	ID         uuid.UUID                `json:"id" format:"uuid"`
	Kind       notifyapi.ReportKind     `json:"kind" enum:"failed,delayed,complaint"`
	ReceivedAt httpapi.Time             `json:"received_at"`
	Status     httpapi.Nullable[string] `json:"status" doc:"The enhanced status code (RFC 3463); null when the report has none."`
	Code       httpapi.Nullable[int]    `json:"code" doc:"The SMTP reply code; null when the report has none."`
	Server     httpapi.Nullable[string] `json:"server" doc:"The server that refused the mail; null when the report doesn't name it."`
	Text       string                   `json:"text" doc:"The server's own words, or the kind of complaint."`
}

func viewReport(r notifyapi.DeliveryReport) deliveryReportView {
	return deliveryReportView{
		ID: r.ID, Kind: r.Kind, ReceivedAt: httpapi.NewTime(r.ReceivedAt), Status: nullable(r.Status), Code: nullable(r.Code),
		Server: nullable(r.Server), Text: r.Text,
	}
}

type mailQueueView struct {
	Recipients          deliveryCountsView `json:"recipients" doc:"How many recipients are in each state."`
	OldestDueAgeSeconds float64            `json:"oldest_due_age_seconds" doc:"How long the oldest recipient that could be mailed now has waited; 0 when none waits."`
	SentPerMinute       int                `json:"sent_per_minute" doc:"Mails that servers accepted in the last 60 seconds."`
}

func viewQueue(s notifyapi.Stats) mailQueueView {
	return mailQueueView{deliveryCountsView(s.Recipients), s.OldestDueAgeSeconds, s.SentPerMinute}
}

package request

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// The bodies of answers are notifyapi's types with times in the common format of
// both services. A test compares the two.

type notificationBody struct {
	ID             uuid.UUID                      `json:"id" format:"uuid"`
	Subject        string                         `json:"subject"`
	Text           *string                        `json:"text,omitempty" doc:"Only for the caller that created the notification (the token's sub), never in lists, never when sensitive."`
	HTML           *httpapi.Nullable[string]      `json:"html,omitempty" doc:"Present where text is; null when there is only text."`
	ReplyTo        *httpapi.Nullable[string]      `json:"reply_to,omitempty" doc:"Present where text is; null when answers go to the sender."`
	Requester      string                         `json:"requester"`
	Reference      *string                        `json:"reference" nullable:"true"`
	Thread         *string                        `json:"thread" nullable:"true"`
	Sensitive      bool                           `json:"sensitive"`
	Status         notifyapi.Status               `json:"status" enum:"queued,processing,completed,partially_failed,failed,canceled"`
	Priority       notifyapi.Priority             `json:"priority" enum:"urgent,normal,bulk"`
	NotBefore      httpapi.Nullable[httpapi.Time] `json:"not_before"`
	ExpiresAt      httpapi.Nullable[httpapi.Time] `json:"expires_at"`
	CreatedAt      httpapi.Time                   `json:"created_at"`
	CompletedAt    httpapi.Nullable[httpapi.Time] `json:"completed_at" doc:"When the last recipient was settled; null until then."`
	Counts         notifyapi.Counts               `json:"counts"`
	Recipients     []recipientBody                `json:"recipients,omitempty" doc:"The first 100, for one notification and in a list that includes them."`
	RecipientsNext string                         `json:"recipients_next,omitempty" doc:"Path of the next page of recipients, if there are more."`
}

type recipientBody struct {
	ID            uuid.UUID                      `json:"id" format:"uuid"`
	Email         string                         `json:"email"`
	Status        notifyapi.RecipientStatus      `json:"status" enum:"queued,sending,delayed,sent,failed,canceled,uncertain,expired"`
	Attempts      int                            `json:"attempts"`
	LastError     *string                        `json:"last_error" nullable:"true" doc:"The mail server's own text, or what broke."`
	NextAttemptAt httpapi.Nullable[httpapi.Time] `json:"next_attempt_at" doc:"The earliest time of the next try; null when there will be none."`
	SentAt        httpapi.Nullable[httpapi.Time] `json:"sent_at"`
}

type attemptBody struct {
	Number  int               `json:"number" doc:"1 is the first try."`
	At      httpapi.Time      `json:"at"`
	Server  string            `json:"server" doc:"The mail server, host and port."`
	Code    *int              `json:"code" nullable:"true" doc:"The server's reply code (RFC 5321 section 4.2); null when it gave none."`
	Reply   string            `json:"reply" doc:"The server's own text, or what broke."`
	Outcome notifyapi.Outcome `json:"outcome" enum:"sent,temporary,permanent,uncertain"`
}

type statsOutput struct{ Body notifyapi.Stats }

func viewBody(n Notification) notificationBody {
	b := notificationBody{
		ID: n.ID, Subject: n.Subject, Requester: n.Requester, Reference: n.Reference, Thread: n.Thread,
		Sensitive: n.Sensitive, Priority: n.Priority, Status: n.Status,
		NotBefore: httpapi.NullTime(n.NotBefore), ExpiresAt: httpapi.NullTime(n.ExpiresAt),
		CreatedAt: httpapi.NewTime(n.CreatedAt), CompletedAt: httpapi.NullTime(n.CompletedAt), Counts: n.Counts,
	}
	if n.Content != nil {
		b.Text, b.HTML = &n.Content.Text, &httpapi.Nullable[string]{Value: n.Content.HTML}
		b.ReplyTo = &httpapi.Nullable[string]{Value: n.Content.ReplyTo}
	}
	for _, r := range n.Recipients {
		b.Recipients = append(b.Recipients, viewRecipient(r))
	}
	if shown := len(n.Recipients); shown > 0 && shown < n.Counts.Total {
		b.RecipientsNext = recipientsPath(n.ID, n.Recipients[shown-1].Ordinal)
	}
	return b
}

func viewRecipient(r Recipient) recipientBody {
	return recipientBody{
		ID: r.ID, Email: r.Email, Status: r.Status, Attempts: r.Attempts, LastError: r.LastError,
		NextAttemptAt: httpapi.NullTime(r.NextAttemptAt), SentAt: httpapi.NullTime(r.SentAt),
	}
}

func viewAttempt(a Attempt) attemptBody {
	return attemptBody{
		Number: a.Number, At: httpapi.NewTime(a.At), Server: a.Server, Code: a.Code, Reply: a.Reply, Outcome: a.Outcome,
	}
}

func viewStats(s Stats) notifyapi.Stats {
	return notifyapi.Stats{
		Recipients: s.Counts, OldestDueAgeSeconds: s.OldestDueAge.Seconds(), SentPerMinute: s.SentPerMinute,
	}
}

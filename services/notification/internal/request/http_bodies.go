package request

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// The bodies of answers are notifyapi's types with times in the common format of
// both services. A test compares the two.

// createNotificationRequest is notifyapi.Request under its name in the document.
type createNotificationRequest notifyapi.Request

type notificationBody struct {
	ID             uuid.UUID                      `json:"id" format:"uuid" doc:"The notification's id, a UUIDv7."`
	Subject        string                         `json:"subject" doc:"The mail's subject."`
	Text           *string                        `json:"text,omitempty" doc:"The mail as plain text. Only for the caller that created the notification (the token's sub), never in lists, never when it is sensitive."`
	HTML           *httpapi.Nullable[string]      `json:"html,omitempty" doc:"The same mail as HTML. Present where text is; null when there is only text."`
	ReplyTo        *httpapi.Nullable[string]      `json:"reply_to,omitempty" doc:"The address for answers to the mail. Present where text is; null when answers go to the sender."`
	Attachments    []notifyapi.AttachmentInfo     `json:"attachments,omitempty" doc:"The files of the mail. Present where text is, when there are any."`
	Requester      string                         `json:"requester" doc:"Who or what asked for it, as the caller named it."`
	Reference      *string                        `json:"reference" nullable:"true" doc:"The caller's own name for what it is about; null when it gave none."`
	Thread         *string                        `json:"thread" nullable:"true" doc:"The thread that mail programs show it in; null for none."`
	Sensitive      bool                           `json:"sensitive" doc:"Whether its content is in no answer and erased when it is over."`
	Priority       notifyapi.Priority             `json:"priority"`
	Status         notifyapi.Status               `json:"status"`
	NotBefore      httpapi.Nullable[httpapi.Time] `json:"not_before" doc:"When it may be sent at the earliest; null for at once."`
	ExpiresAt      httpapi.Nullable[httpapi.Time] `json:"expires_at" doc:"When it is not sent any more; null for never."`
	CreatedAt      httpapi.Time                   `json:"created_at" doc:"When it was stored."`
	CompletedAt    httpapi.Nullable[httpapi.Time] `json:"completed_at" doc:"When the last recipient ended; null until then."`
	Counts         notifyapi.Counts               `json:"counts" doc:"How many of its recipients have each status."`
	Recipients     []recipientBody                `json:"recipients,omitempty" doc:"The first 100, for one notification and in a list that includes them."`
	RecipientsNext string                         `json:"recipients_next,omitempty" doc:"The path of the next page of recipients; absent when recipients has all."`
}

type recipientBody struct {
	ID            uuid.UUID                      `json:"id" format:"uuid" doc:"The recipient's id, a UUIDv7. The left side of its mail's Message-ID ends with it."`
	Email         string                         `json:"email" doc:"The address in its canonical form: lower case, the domain in ASCII."`
	Status        notifyapi.RecipientStatus      `json:"status"`
	Attempts      int                            `json:"attempts" doc:"How often the mail was tried."`
	LastError     *string                        `json:"last_error" nullable:"true" doc:"The mail server's own text, or what broke; null when nothing did."`
	NextAttemptAt httpapi.Nullable[httpapi.Time] `json:"next_attempt_at" doc:"The earliest time of the next try; null when there will be none."`
	SentAt        httpapi.Nullable[httpapi.Time] `json:"sent_at" doc:"When the mail server took the mail; null until then. It stays when the mail came back afterwards."`
}

type attemptBody struct {
	Number  int               `json:"number" doc:"1 is the first try."`
	At      httpapi.Time      `json:"at" doc:"When the try ended."`
	Server  string            `json:"server" doc:"The mail server, host and port."`
	Code    *int              `json:"code" nullable:"true" doc:"The server's reply code (RFC 5321, section 4.2); null when it gave none."`
	Reply   string            `json:"reply" doc:"The server's own text, or what broke."`
	Outcome notifyapi.Outcome `json:"outcome"`
}

type reportBody struct {
	ID         uuid.UUID            `json:"id" format:"uuid" doc:"The report's id, a UUIDv7."`
	Kind       notifyapi.ReportKind `json:"kind"`
	ReceivedAt httpapi.Time         `json:"received_at" doc:"When the report came in."`
	Status     *string              `json:"status" nullable:"true" doc:"The enhanced status code (RFC 3463); null when the report has none."`
	Code       *int                 `json:"code" nullable:"true" doc:"The SMTP reply code; null when the report has none."`
	Server     *string              `json:"server" nullable:"true" doc:"The server that refused the mail; null when the report doesn't name it."`
	Text       string               `json:"text" doc:"The server's own words, or the kind of complaint."`
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
		b.ReplyTo, b.Attachments = &httpapi.Nullable[string]{Value: n.Content.ReplyTo}, n.Content.Files
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

func viewReport(r Report) reportBody {
	return reportBody{
		ID: r.ID, Kind: r.Kind, ReceivedAt: httpapi.NewTime(r.ReceivedAt), Status: r.Status, Code: r.Code, Server: r.Server, Text: r.Text,
	}
}

func viewStats(s Stats) notifyapi.Stats {
	return notifyapi.Stats{
		Recipients: s.Counts, OldestDueAgeSeconds: s.OldestDueAge.Seconds(), SentPerMinute: s.SentPerMinute,
	}
}

package inbound

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/ticket"
)

type addressView struct {
	Name  string `json:"name" doc:"As the mail has it; may be empty."`
	Email string `json:"email" doc:"As the mail has it; may be empty for a sender."`
}

// mailView is a mail without its text.
type mailView struct {
	ID           uuid.UUID                           `json:"id" format:"uuid" doc:"Of the mail at the notification service."`
	ReceivedAt   httpapi.Time                        `json:"received_at" doc:"When it came in."`
	Outcome      Outcome                             `json:"outcome" doc:"What became of it."`
	Reason       httpapi.Nullable[Reason]            `json:"reason" doc:"Why it is or was held, or why it is ignored; null otherwise."`
	From         addressView                         `json:"from" doc:"The sender that the mail names."`
	Recipients   []addressView                       `json:"recipients" nullable:"false" doc:"The other recipients of To and Cc, besides the help desk."`
	Subject      string                              `json:"subject" doc:"Its subject."`
	TicketID     *uuid.UUID                          `json:"ticket_id" format:"uuid" nullable:"true" doc:"The ticket that it became, or is about; null for none."`
	TicketNumber *int64                              `json:"ticket_number" nullable:"true" doc:"The number of that ticket."`
	CommentID    *uuid.UUID                          `json:"comment_id" format:"uuid" nullable:"true" doc:"The comment that it became, also a held one; null for none."`
	DecidedBy    httpapi.Nullable[ticket.PersonView] `json:"decided_by" doc:"Who decided about a held mail; null when nobody did."`
	DecidedAt    httpapi.Nullable[httpapi.Time]      `json:"decided_at" doc:"When that was."`
}

// originalView is a mail with its text.
type originalView struct {
	ID         uuid.UUID     `json:"id" format:"uuid" doc:"Of the mail at the notification service."`
	ReceivedAt httpapi.Time  `json:"received_at" doc:"When it came in."`
	From       addressView   `json:"from" doc:"The sender that the mail names."`
	Recipients []addressView `json:"recipients" nullable:"false" doc:"The other recipients of To and Cc, besides the help desk."`
	Subject    string        `json:"subject" doc:"Its subject."`
	MessageID  string        `json:"message_id" doc:"Its Message-ID without angle brackets; may be empty."`
	Text       string        `json:"text" doc:"The whole text of the mail, with what it quotes; that of its HTML when it has no other. At most 200,000 characters."`
	Truncated  bool          `json:"truncated" doc:"Whether the mail has more text. The raw mail has all of it."`
}

func viewAddresses(list []Recipient) []addressView {
	views := make([]addressView, len(list))
	for i, r := range list {
		views[i] = addressView(r)
	}
	return views
}

func viewMail(r Record) mailView {
	v := mailView{
		ID: r.ID, ReceivedAt: httpapi.NewTime(r.ReceivedAt), Outcome: r.Outcome, From: addressView(r.From), Recipients: viewAddresses(r.Recipients),
		Subject: r.Subject, TicketID: r.TicketID, TicketNumber: r.Number, CommentID: r.CommentID,
		DecidedBy: ticket.ViewPersonOrNull(r.DecidedBy), DecidedAt: httpapi.NullTime(r.DecidedAt),
	}
	if r.Reason != "" {
		v.Reason.Value = &r.Reason
	}
	return v
}

func viewOriginal(o Original) originalView {
	return originalView{
		ID: o.ID, ReceivedAt: httpapi.NewTime(o.ReceivedAt), From: addressView(o.From), Recipients: viewAddresses(o.Recipients),
		Subject: o.Subject, MessageID: o.MessageID,
		Text: o.Text, Truncated: o.Truncated,
	}
}

var (
	exampleNumber int64 = example.Number
	exampleReason       = HeldSender

	exampleMail = mailView{
		ID: example.MailID, ReceivedAt: httpapi.NewTime(example.At("10:39:58")), Outcome: Held, Reason: httpapi.Nullable[Reason]{Value: &exampleReason},
		From: addressView{example.Jonas.Name, example.Jonas.Email}, Recipients: []addressView{{example.Ada.Name, example.Ada.Email}},
		Subject: "Re: [Fixdesk #42] " + example.Title, TicketID: &example.TicketID, TicketNumber: &exampleNumber, CommentID: &example.CommentID,
	}
	exampleOriginal = originalView{
		ID: example.MailID, ReceivedAt: httpapi.NewTime(example.At("10:39:58")), From: addressView{example.Ada.Name, example.Ada.Email},
		Recipients: []addressView{}, Subject: "Re: [Fixdesk #42] " + example.Title, MessageID: "4f1c@example.com",
		Text: example.Answer + "\n\nOn Mon, 12 Jan 2026 at 10:05, Fixdesk wrote:\n> " + example.Question,
	}
)

const exampleRaw = "From: Ada Moreno <ada@example.com>\r\nTo: support@example.com\r\nSubject: Re: [Fixdesk #42] " + example.Title + "\r\n\r\n" + example.Answer + "\r\n"

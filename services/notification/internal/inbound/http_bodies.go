package inbound

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// The bodies of answers are notifyapi's types with times in the common format of
// both services. A test compares the two.

type ackInboundMailRequest struct {
	Result    string  `json:"result" minLength:"1" maxLength:"50" pattern:"^[a-z][a-z0-9_]*$" doc:"What became of the mail, in a word of the consumer's own, for example comment, ticket or ignored."`
	Reference *string `json:"reference,omitempty" nullable:"true" minLength:"1" maxLength:"200" doc:"The consumer's own name for what it became."`
}

type inboundMailBody struct {
	ID         uuid.UUID               `json:"id" format:"uuid" doc:"The mail's id, a UUIDv7."`
	ReceivedAt httpapi.Time            `json:"received_at" doc:"When its transfer began."`
	Source     notifyapi.InboundSource `json:"source"`
	Status     notifyapi.InboundStatus `json:"status"`
	Envelope   notifyapi.Envelope      `json:"envelope" doc:"How it was handed in."`

	From           httpapi.Nullable[notifyapi.MailAddress]    `json:"from" doc:"The first address of From; null when there is none that can be read."`
	ReplyTo        []notifyapi.MailAddress                    `json:"reply_to" doc:"Where the sender wants answers; empty for From."`
	To             []notifyapi.MailAddress                    `json:"to" doc:"The addresses of To."`
	CC             []notifyapi.MailAddress                    `json:"cc" doc:"The addresses of Cc."`
	Subject        string                                     `json:"subject" doc:"The subject in one line; empty when there is none."`
	Date           httpapi.Nullable[httpapi.Time]             `json:"date" doc:"When the sender says that it was written; null when that can't be read."`
	MessageID      string                                     `json:"message_id" doc:"Message-ID without angle brackets; empty when there is none."`
	InReplyTo      []string                                   `json:"in_reply_to" doc:"The ids of In-Reply-To, without angle brackets."`
	References     []string                                   `json:"references" doc:"The ids of References, without angle brackets, the oldest first."`
	Text           string                                     `json:"text" doc:"All plain text in the order of the mail, at most 1 MiB; empty when some of the mail is there as HTML alone."`
	HTML           string                                     `json:"html" doc:"All HTML in the order of the mail, at most 1 MiB, as it was sent: not made safe to show. Empty when there is none."`
	Truncated      bool                                       `json:"truncated" doc:"Whether text or html is longer than what is shown here; raw has all of it."`
	Automatic      httpapi.Nullable[notifyapi.Automatic]      `json:"automatic" doc:"The sign by which it is automatic mail, which nobody should answer; null for none."`
	NoAutoReply    bool                                       `json:"no_auto_reply" doc:"Whether the sender asks for no automatic answer, by X-Auto-Response-Suppress with All, OOF or AutoReply. People's mails through Exchange have that, too."`
	AutoSubmitted  *string                                    `json:"auto_submitted" nullable:"true" doc:"The keyword of Auto-Submitted (RFC 3834), in lower case; null without that header."`
	Precedence     *string                                    `json:"precedence" nullable:"true" doc:"Precedence, in lower case; null without that header."`
	ListID         *string                                    `json:"list_id" nullable:"true" doc:"List-Id of a mailing list (RFC 2919), in lower case; null without that header."`
	Authentication httpapi.Nullable[notifyapi.Authentication] `json:"authentication_results" doc:"What the receiving mail server found (RFC 8601): the first Authentication-Results header if it is of the server that NOTIFICATION_INBOUND_AUTHSERV_ID names; null otherwise."`
	Attachments    []notifyapi.InboundAttachment              `json:"attachments" doc:"Everything that is neither in text nor in html, in the order of the mail."`
	Unparsed       *string                                    `json:"unparsed" nullable:"true" doc:"Why the mail could not be taken apart: then there is what its header says, and raw. Null when it could."`

	Size           int64                          `json:"size" doc:"Bytes of raw."`
	Arrivals       int                            `json:"arrivals" doc:"How often it came in. It has its effect once."`
	Result         *string                        `json:"result" nullable:"true" doc:"What its consumer says became of it; null until it is acknowledged."`
	Reference      *string                        `json:"reference" nullable:"true" doc:"The consumer's own name for what it became; null for none."`
	AcknowledgedAt httpapi.Nullable[httpapi.Time] `json:"acknowledged_at" doc:"When it was acknowledged; null until then."`
}

func viewMail(m Mail) inboundMailBody {
	c := m.Content
	b := inboundMailBody{
		ID: m.ID, ReceivedAt: httpapi.NewTime(m.ReceivedAt), Source: m.Source, Status: m.Status, Envelope: m.Envelope,
		ReplyTo: orEmpty(c.ReplyTo), To: orEmpty(c.To), CC: orEmpty(c.CC), Subject: c.Subject, Date: httpapi.NullTime(c.Date),
		MessageID: c.MessageID, InReplyTo: orEmpty(c.InReplyTo), References: orEmpty(c.References),
		Text: c.Text, HTML: c.HTML, Truncated: c.Truncated, NoAutoReply: c.NoAutoReply, AutoSubmitted: c.AutoSubmitted,
		Precedence: c.Precedence, ListID: c.ListID,
		Attachments: orEmpty(c.Attachments), Unparsed: c.Unparsed,
		Size: m.Size, Arrivals: m.Arrivals, Result: m.Result, Reference: m.Reference, AcknowledgedAt: httpapi.NullTime(m.AcknowledgedAt),
	}
	b.From.Value, b.Automatic.Value, b.Authentication.Value = c.From, c.Automatic, c.Authentication
	b.Envelope.To = orEmpty(b.Envelope.To)
	return b
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

package notifyapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// The scopes of mail that came in; see ScopesHelp.
const (
	ScopeInboundRead = "inbound:read"
	ScopeInboundAck  = "inbound:ack"
)

// Scopes are all scopes that a caller's token may carry.
var Scopes = []string{ScopeWrite, ScopeRead, ScopeManage, ScopeInboundRead, ScopeInboundAck}

// ScopesHelp says what a caller may do with each of Scopes, a line each.
const ScopesHelp = `  notifications:write    send notifications
  notifications:read     read notifications, results and suppressions
  notifications:manage   cancel, retry, pause, suppress and erase
  inbound:read           read mail that came in
  inbound:ack            report what became of it, have it read again, delete it
`

// MaxInboundWait is how long a list of inbound mail can wait for the first one.
const MaxInboundWait = 20 * time.Second

// InboundStatus is the state of a mail that came in.
type InboundStatus string

// The states of a mail that came in.
const (
	InboundReceived     InboundStatus = "received"     // stored, not read yet
	InboundPending      InboundStatus = "pending"      // waits for its consumer
	InboundAcknowledged InboundStatus = "acknowledged" // its consumer said what became of it
	InboundHandled      InboundStatus = "handled"      // a delivery report or complaint that the service applied itself
)

// InboundStatuses are all states of a mail that came in.
var InboundStatuses = []InboundStatus{InboundReceived, InboundPending, InboundAcknowledged, InboundHandled}

// InboundSource is the way on which a mail came in.
type InboundSource string

// The ways on which mail comes in.
const (
	InboundSMTP InboundSource = "smtp"
	InboundLMTP InboundSource = "lmtp"
	InboundIMAP InboundSource = "imap"
)

// InboundSources are all ways on which mail comes in.
var InboundSources = []InboundSource{InboundSMTP, InboundLMTP, InboundIMAP}

// Automatic is the sign by which a mail was recognised as sent by a program.
type Automatic string

// The signs of automatic mail, the surest first. A mail has the first that fits.
const (
	AutomaticReport        Automatic = "report"         // a delivery report, a read receipt or a complaint (RFC 6522)
	AutomaticEmptySender   Automatic = "empty_sender"   // MAIL FROM:<> (RFC 5321, section 4.5.5)
	AutomaticAutoSubmitted Automatic = "auto_submitted" // Auto-Submitted other than no (RFC 3834)
	AutomaticList          Automatic = "list"           // List-Id or another header of mailing lists (RFC 2919, RFC 2369)
	AutomaticPrecedence    Automatic = "precedence"     // Precedence bulk, junk, list or auto_reply
	AutomaticHeader        Automatic = "header"         // X-Autoreply, X-Vacation and others of their kind
	AutomaticSender        Automatic = "sender"         // mailer-daemon, postmaster, no-reply
	AutomaticSubject       Automatic = "subject"        // a subject of out-of-office replies
)

// Automatics are all signs of automatic mail.
var Automatics = []Automatic{
	AutomaticReport, AutomaticEmptySender, AutomaticAutoSubmitted, AutomaticList,
	AutomaticPrecedence, AutomaticHeader, AutomaticSender, AutomaticSubject,
}

// InboundMail is a mail that came in. Message ids have no angle brackets. All text
// is UTF-8 without NUL. What the header says is the sender's claim, save
// AuthenticationResults.
type InboundMail struct {
	ID         uuid.UUID     `json:"id"`
	ReceivedAt time.Time     `json:"received_at"`
	Source     InboundSource `json:"source"`
	Status     InboundStatus `json:"status"`
	Envelope   Envelope      `json:"envelope"`
	InboundContent
	Size           int64      `json:"size"`
	Arrivals       int        `json:"arrivals"`
	Result         *string    `json:"result"`
	Reference      *string    `json:"reference"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
}

// Envelope is how a mail was handed in (RFC 5321, section 2.3.1). Of a mail read by
// IMAP it is what the mailbox's server wrote into the header.
type Envelope struct {
	From string   `json:"from" doc:"MAIL FROM; empty for the empty sender of reports."`
	To   []string `json:"to" nullable:"false" doc:"The addresses of RCPT TO that were accepted."`
}

// InboundContent is what a mail's bytes say.
type InboundContent struct {
	From           *MailAddress        `json:"from" nullable:"true" doc:"The first address of From; null when there is none that can be read."`
	ReplyTo        []MailAddress       `json:"reply_to" nullable:"false" doc:"Where the sender wants answers; empty for From."`
	To             []MailAddress       `json:"to" nullable:"false" doc:"The addresses of To."`
	CC             []MailAddress       `json:"cc" nullable:"false" doc:"The addresses of Cc."`
	Subject        string              `json:"subject" doc:"The subject in one line; empty when there is none."`
	Date           *time.Time          `json:"date" nullable:"true" doc:"When the sender says that it was written; null when that can't be read."`
	MessageID      string              `json:"message_id" doc:"Message-ID without angle brackets; empty when there is none."`
	InReplyTo      []string            `json:"in_reply_to" nullable:"false" doc:"The ids of In-Reply-To, without angle brackets."`
	References     []string            `json:"references" nullable:"false" doc:"The ids of References, without angle brackets, the oldest first."`
	Text           string              `json:"text" doc:"All parts of plain text in their order, at most 1 MiB; empty when there is none."`
	HTML           string              `json:"html" doc:"All parts of HTML in their order, at most 1 MiB, as they were sent: not made safe to show. Empty when there is none."`
	Truncated      bool                `json:"truncated" doc:"Whether text or html is longer than what is shown here. raw has all of it."`
	Automatic      *Automatic          `json:"automatic" nullable:"true" doc:"The sign by which it is automatic mail, which nobody should answer; null for none."`
	NoAutoReply    bool                `json:"no_auto_reply" doc:"Whether the sender asks for no automatic answer, by X-Auto-Response-Suppress with All, OOF or AutoReply."`
	AutoSubmitted  *string             `json:"auto_submitted" nullable:"true" doc:"The keyword of Auto-Submitted (RFC 3834), in lower case; null without that header."`
	Precedence     *string             `json:"precedence" nullable:"true" doc:"Precedence, in lower case; null without that header."`
	ListID         *string             `json:"list_id" nullable:"true" doc:"The mailing list (RFC 2919); null for none."`
	Authentication *Authentication     `json:"authentication_results" nullable:"true" doc:"What the receiving mail server found (RFC 8601): the first Authentication-Results header if it is of the server that NOTIFICATION_INBOUND_AUTHSERV_ID names; null otherwise."`
	Attachments    []InboundAttachment `json:"attachments" nullable:"false" doc:"Everything that is not in text or html, in the order of the mail."`
	Unparsed       *string             `json:"unparsed" nullable:"true" doc:"Why the mail could not be taken apart: then it has only what its header says, and raw. Null when it could."`
}

// MailAddress is an address of a header.
type MailAddress struct {
	Name  string `json:"name" doc:"The name beside the address; empty when there is none."`
	Email string `json:"email" doc:"The address as it was written, at most 320 characters."`
}

// Authentication is a receiving mail server's judgement of a mail (RFC 8601), each
// value in lower case; empty when the server gave none.
type Authentication struct {
	DMARC string `json:"dmarc" doc:"pass, fail, none or another result of RFC 8601, section 2.7.1; empty when not given."`
	SPF   string `json:"spf" doc:"As dmarc."`
	DKIM  string `json:"dkim" doc:"As dmarc; pass if one of several signatures passed."`
}

// InboundAttachment is a file of a mail, or a part that is not its text.
type InboundAttachment struct {
	Filename  string `json:"filename" doc:"The name that the sender gave; empty when there is none. Not made safe for a file system."`
	MediaType string `json:"media_type" doc:"The type that the sender claims, in lower case."`
	Size      int64  `json:"size" doc:"Bytes."`
	SHA256    string `json:"sha256" doc:"The hash of the bytes, in hexadecimal."`
	ContentID string `json:"content_id" doc:"By which html names it as cid:…; empty when there is none."`
	Inline    bool   `json:"inline" doc:"Whether it is shown within the text, as the sender wants."`
}

// InboundParams narrows Inbound; the zero value lists everything.
type InboundParams struct {
	Status InboundStatus
	// Wait is how long to wait for the first mail when there is none, at most
	// MaxInboundWait, in whole seconds.
	Wait   time.Duration
	Limit  int // 1 to 100; 0 means 20
	Cursor string
}

// Inbound lists mail that came in, oldest first. A page also ends after 8 MiB of
// text and HTML.
func (c *Client) Inbound(ctx context.Context, p InboundParams) (Page[InboundMail], error) {
	q := url.Values{}
	if p.Status != "" {
		q.Set("status", string(p.Status))
	}
	if p.Wait >= time.Second {
		q.Set("wait", strconv.Itoa(int(min(p.Wait, MaxInboundWait)/time.Second))+"s")
	}
	setPage(q, p.Limit, p.Cursor)
	var page Page[InboundMail]
	err := c.waiting(p.Wait).call(ctx, http.MethodGet, withQuery("/v1/inbound", q), "", nil, &page)
	return page, err
}

// waiting is the client with as much more time for each call.
func (c *Client) waiting(wait time.Duration) *Client {
	client := c.HTTPClient
	if client == nil {
		client = defaultHTTPClient
	}
	if client.Timeout == 0 || wait <= 0 {
		return c
	}
	longer, copied := *client, *c
	longer.Timeout += wait
	copied.HTTPClient = &longer
	return &copied
}

// InboundGet returns one mail that came in.
func (c *Client) InboundGet(ctx context.Context, id uuid.UUID) (InboundMail, error) {
	var m InboundMail
	err := c.call(ctx, http.MethodGet, "/v1/inbound/"+id.String(), "", nil, &m)
	return m, err
}

// InboundRaw opens a mail's bytes as they came in; the caller closes them. They are
// read within the time limit of HTTPClient.
func (c *Client) InboundRaw(ctx context.Context, id uuid.UUID) (io.ReadCloser, error) {
	return c.open(ctx, "/v1/inbound/"+id.String()+"/raw")
}

// InboundAttachment opens the bytes of a mail's n-th attachment, from 0; the caller
// closes them. They are read within the time limit of HTTPClient.
func (c *Client) InboundAttachment(ctx context.Context, id uuid.UUID, n int) (io.ReadCloser, error) {
	return c.open(ctx, "/v1/inbound/"+id.String()+"/attachments/"+strconv.Itoa(n))
}

// InboundAck reports what became of a mail: a word such as comment or ticket, and
// the consumer's own name of it, "" for none. It may be repeated; another result
// than the first is an *Error with status 409.
func (c *Client) InboundAck(ctx context.Context, id uuid.UUID, result, reference string) (InboundMail, error) {
	var m InboundMail
	body, err := json.Marshal(inboundAck{result, reference})
	if err != nil {
		return m, fmt.Errorf("acknowledge a mail: %w", err)
	}
	err = c.repeat(ctx, true, func() error {
		return c.once(ctx, http.MethodPost, "/v1/inbound/"+id.String()+"/ack", "", body, &m)
	})
	return m, err
}

// InboundDelete deletes a mail that is acknowledged or handled, with its bytes. The error
// is an *Error with status 409 for another one, and 404 for one that is gone.
func (c *Client) InboundDelete(ctx context.Context, id uuid.UUID) error {
	return c.call(ctx, http.MethodDelete, "/v1/inbound/"+id.String(), "", nil, nil)
}

type inboundAck struct {
	Result    string `json:"result"`
	Reference string `json:"reference,omitempty"`
}

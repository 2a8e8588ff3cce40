package ticket

import (
	"strconv"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/attachment"
)

// Enums names in the OpenAPI document the types with a fixed list of values.
func Enums(api *httpapi.API) {
	attachment.Enums(api)
	httpapi.Enum(api, "TicketStatus", "Where a ticket is in its life; open, in_progress and blocked are active.", Statuses...)
	httpapi.Enum(api, "TicketPriority", "How urgent a ticket is, lowest first.", Priorities...)
	httpapi.Enum(api, "WaitingFor", "Whom a blocked ticket waits for.", WaitsForCustomer, WaitsForOther)
	httpapi.Enum(api, "HoldStatus", "What was decided about a held comment: it waits, is an ordinary comment, or stays internal.", HoldWaiting, HoldReleased, HoldRefused)
	httpapi.Enum(api, "MailStatus", "What became of a mail: pending and dead are not posted to the notification service, the others are its own.", mailStatuses...)
	httpapi.Enum(api, "MailRecipientStatus", "What became of a mail for one recipient: pending and dead are not posted to the notification service, the others are its own.",
		mailRecipientStatuses...)
}

// PersonView is a person in an answer.
type PersonView struct {
	ID   uuid.UUID `json:"id" format:"uuid" doc:"The person's user id."`
	Name string    `json:"name" doc:"The person's name."`
}

// ReporterView is a ticket's reporter in an answer.
type ReporterView struct {
	PersonView
	Email string `json:"email,omitempty" doc:"For engineers and admins alone; absent when the reporter was erased."`
}

// TicketView is a ticket in an answer.
type TicketView struct {
	ID            uuid.UUID                      `json:"id" format:"uuid" doc:"The ticket's id, a UUIDv7."`
	Number        int64                          `json:"number" doc:"For people, as in #42. Unique, with gaps."`
	Title         string                         `json:"title" doc:"One line that says what is wrong."`
	Description   string                         `json:"description" doc:"What happened."`
	Status        Status                         `json:"status" doc:"Where the ticket is in its life."`
	Priority      Priority                       `json:"priority" doc:"How urgent it is."`
	Reporter      ReporterView                   `json:"reporter" doc:"Who has the problem."`
	Assignee      httpapi.Nullable[PersonView]   `json:"assignee" doc:"The engineer whose ticket it is; null while no engineer is assigned."`
	Resolution    *string                        `json:"resolution" nullable:"true" doc:"What fixed it; null until it is resolved."`
	BlockedReason *string                        `json:"blocked_reason" nullable:"true" doc:"Why it is blocked, if it is and a reason was given."`
	WaitingFor    httpapi.Nullable[WaitingFor]   `json:"waiting_for" doc:"Whom a blocked ticket waits for; null unless it is blocked. A comment by the reporter takes one that waits for the customer back to in_progress."`
	Version       int                            `json:"version" doc:"Grows with each change; the ETag is made of it."`
	CreatedAt     httpapi.Time                   `json:"created_at" doc:"When it was raised."`
	UpdatedAt     httpapi.Time                   `json:"updated_at" doc:"When it changed last."`
	AcceptedAt    httpapi.Nullable[httpapi.Time] `json:"accepted_at" doc:"When an engineer accepted it last; null until then."`
	ResolvedAt    httpapi.Nullable[httpapi.Time] `json:"resolved_at" doc:"When it was resolved; null unless it is resolved, or closed after that."`
	ClosedAt      httpapi.Nullable[httpapi.Time] `json:"closed_at" doc:"When it was closed; null unless it is closed."`

	Attachments *[]attachment.AttachmentView `json:"attachments,omitempty" nullable:"false" doc:"The files it was raised with. Absent in lists."`
}

// ViewPerson makes the view of a person.
func ViewPerson(p Person) PersonView { return PersonView{ID: p.ID, Name: p.Name} }

// ViewPersonOrNull makes the view of a person; null for nil.
func ViewPersonOrNull(p *Person) httpapi.Nullable[PersonView] {
	if p == nil {
		return httpapi.Nullable[PersonView]{}
	}
	v := ViewPerson(*p)
	return httpapi.Nullable[PersonView]{Value: &v}
}

// ViewTicket makes the view of a ticket for a viewer: staff see the reporter's
// address.
func ViewTicket(v Viewer, t Ticket) TicketView {
	reporter := ReporterView{PersonView: ViewPerson(t.Reporter)}
	if v.Staff() {
		reporter.Email = t.Reporter.Email
	}
	return TicketView{
		ID: t.ID, Number: t.Number, Title: t.Title, Description: t.Description,
		Status: t.Status, Priority: t.Priority,
		Reporter: reporter, Assignee: ViewPersonOrNull(t.Assignee),
		Resolution: t.Resolution, BlockedReason: t.BlockedReason, WaitingFor: httpapi.Nullable[WaitingFor]{Value: t.WaitingFor}, Version: t.Version,
		CreatedAt: httpapi.NewTime(t.CreatedAt), UpdatedAt: httpapi.NewTime(t.UpdatedAt),
		AcceptedAt: httpapi.NullTime(t.AcceptedAt), ResolvedAt: httpapi.NullTime(t.ResolvedAt), ClosedAt: httpapi.NullTime(t.ClosedAt),
	}
}

type commentView struct {
	ID        uuid.UUID                      `json:"id" format:"uuid" doc:"The comment's id."`
	TicketID  uuid.UUID                      `json:"ticket_id" format:"uuid" doc:"The ticket that it is on."`
	Author    PersonView                     `json:"author" doc:"Who wrote it."`
	Body      string                         `json:"body" doc:"Empty when the comment was removed."`
	Internal  bool                           `json:"internal" doc:"For engineers and admins only."`
	CreatedAt httpapi.Time                   `json:"created_at" doc:"When it was written."`
	RemovedAt httpapi.Nullable[httpapi.Time] `json:"removed_at" doc:"When an admin removed its text and files; null unless it was removed."`

	Attachments []attachment.AttachmentView `json:"attachments" nullable:"false" doc:"The files it was written with."`

	ByMail bool                       `json:"by_mail" doc:"Whether it came by mail. Engineers and admins can read the original."`
	CC     []mailPersonView           `json:"cc,omitempty" doc:"For engineers and admins: the other recipients of the mail that it came by."`
	Held   httpapi.Nullable[holdView] `json:"held" doc:"Why a comment that came by mail is or was held; null when it never was. A held comment is internal until its ticket's assignee or an admin releases it."`
}

type mailPersonView struct {
	Name  string `json:"name" doc:"As the mail has it; may be empty."`
	Email string `json:"email" doc:"The address, as the mail has it."`
}

type holdView struct {
	Status HoldStatus `json:"status" doc:"What was decided."`
	Reason string     `json:"reason" doc:"Why it was held: see InboundReason."`
}

func viewComment(v Viewer, c Comment, files []attachment.Attachment) commentView {
	view := commentView{
		ID: c.ID, TicketID: c.TicketID, Author: ViewPerson(c.Author), ByMail: c.Mail != nil,
		Body: c.Body, Internal: c.Internal, CreatedAt: httpapi.NewTime(c.CreatedAt), RemovedAt: httpapi.NullTime(c.RemovedAt),
		Attachments: attachment.Views(files),
	}
	if c.Mail == nil || !v.Staff() {
		return view
	}
	for _, p := range c.Mail.CC {
		view.CC = append(view.CC, mailPersonView(p))
	}
	if c.Mail.Held != nil {
		view.Held.Value = &holdView{c.Mail.Held.Status, c.Mail.Held.Reason}
	}
	return view
}

// AppendPerson appends the JSON of a person, as encoding/json does.
func AppendPerson(b []byte, p PersonView) []byte {
	b = httpapi.AppendUUID(append(b, `{"id":`...), p.ID)
	b = httpapi.AppendString(append(b, `,"name":`...), p.Name)
	return append(b, '}')
}

func appendReporter(b []byte, r ReporterView) []byte {
	b = AppendPerson(b, r.PersonView)
	if r.Email == "" {
		return b
	}
	b = httpapi.AppendString(append(b[:len(b)-1], `,"email":`...), r.Email)
	return append(b, '}')
}

func appendAssignee(b []byte, p *PersonView) []byte {
	if p == nil {
		return append(b, "null"...)
	}
	return AppendPerson(b, *p)
}

// AppendJSON appends the ticket, as encoding/json does. A struct that embeds a
// TicketView needs its own.
func (t TicketView) AppendJSON(b []byte) []byte {
	b = httpapi.AppendUUID(append(b, `{"id":`...), t.ID)
	b = strconv.AppendInt(append(b, `,"number":`...), t.Number, 10)
	b = httpapi.AppendString(append(b, `,"title":`...), t.Title)
	b = httpapi.AppendString(append(b, `,"description":`...), t.Description)
	b = httpapi.AppendString(append(b, `,"status":`...), t.Status)
	b = httpapi.AppendString(append(b, `,"priority":`...), t.Priority)
	b = appendReporter(append(b, `,"reporter":`...), t.Reporter)
	b = appendAssignee(append(b, `,"assignee":`...), t.Assignee.Value)
	b = httpapi.AppendStringOrNull(append(b, `,"resolution":`...), t.Resolution)
	b = httpapi.AppendStringOrNull(append(b, `,"blocked_reason":`...), t.BlockedReason)
	b = httpapi.AppendStringOrNull(append(b, `,"waiting_for":`...), t.WaitingFor.Value)
	b = strconv.AppendInt(append(b, `,"version":`...), int64(t.Version), 10)
	b = t.CreatedAt.AppendJSON(append(b, `,"created_at":`...))
	b = t.UpdatedAt.AppendJSON(append(b, `,"updated_at":`...))
	b = t.AcceptedAt.AppendJSON(append(b, `,"accepted_at":`...))
	b = t.ResolvedAt.AppendJSON(append(b, `,"resolved_at":`...))
	b = t.ClosedAt.AppendJSON(append(b, `,"closed_at":`...))
	if t.Attachments != nil {
		b = append(b, `,"attachments":`...)
		if files := *t.Attachments; len(files) > 0 {
			b = httpapi.AppendAny(b, files)
		} else {
			b = append(b, "[]"...)
		}
	}
	return append(b, '}')
}

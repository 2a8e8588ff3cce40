package ticket

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/text"
	"fixdesk/services/crm/internal/attachment"
	"fixdesk/services/crm/internal/identity"
)

// The roles that operations allow.
var (
	AllRoles  = []string{string(identity.RoleCustomer), string(identity.RoleEngineer), string(identity.RoleAdmin)}
	staff     = []string{string(identity.RoleEngineer), string(identity.RoleAdmin)}
	engineers = []string{string(identity.RoleEngineer)}
	Admins    = []string{string(identity.RoleAdmin)}
)

// Register mounts the routes below /v1/tickets.
func Register(api *httpapi.API, s *Service) {
	Enums(api)
	registerEvents(api)
	h := handlers{s}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets", ID: "create-ticket", Tag: "tickets", Status: http.StatusCreated, Allow: AllRoles, Scope: identity.ScopeTicketsWrite,
		Summary:        "Raise a ticket",
		Description:    "An approved engineer, if any, is assigned in the same transaction: the one with the fewest active tickets, the longest unassigned among equals. Without one the ticket waits and is assigned, by priority and age, as soon as an engineer is available. Its reporter is never assigned. Engineers and admins raise one on a customer's behalf with reporter_email. A customer raises at most 60 an hour (CRM_TICKETS_PER_HOUR). With an Idempotency-Key the same request again gets the first answer for 24 hours.",
		Errors:         []string{errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight, errs.CodeRateLimited},
		RequestExample: exampleCreate, Example: exampleRaised,
	}, h.create)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}", ID: "get-ticket", Tag: "tickets", Allow: AllRoles, Scope: identity.ScopeTicketsRead, Resource: true, Ahead: h.ahead,
		Summary: "Read a ticket", Errors: []string{errs.CodeNotFound}, Example: ExampleTicket,
		Description: "Customers read the tickets that they reported or follow, engineers and admins all. Any other id is answered like one that does not exist.",
	}, h.get)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPatch, Path: "/v1/tickets/{id}", ID: "update-ticket", Tag: "tickets", Allow: AllRoles, Scope: identity.ScopeTicketsWrite,
		Summary:     "Edit a ticket or take it to another status",
		Description: updateDescription, RequestExample: exampleUpdate, Example: exampleBlocked,
		Errors: []string{errs.CodeNotFound, errs.CodeVersionMismatch, errs.CodeInvalidTransition, errs.CodeConflict},
	}, h.update)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/accept", ID: "accept-ticket", Tag: "tickets", Allow: engineers, Scope: identity.ScopeTicketsWrite,
		Summary:     "Accept a ticket that is assigned to you or to nobody",
		Description: "The ticket goes from open to in_progress and is yours. Of several who accept at the same time one succeeds.", Example: exampleAccepted,
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyAccepted, errs.CodeInvalidTransition},
	}, h.accept)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/decline", ID: "decline-ticket", Tag: "tickets", Allow: engineers, Scope: identity.ScopeTicketsWrite,
		Summary:     "Decline a ticket that is assigned to you",
		Description: "It is offered to the next engineer, and to one who declined it only when no other remains. Engineers and admins can read the reason in its events.", RequestExample: exampleReason, Example: exampleDeclined,
		Errors: []string{errs.CodeNotFound, errs.CodeInvalidTransition},
	}, h.decline)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/assign", ID: "assign-ticket", Tag: "tickets", Allow: staff, Scope: identity.ScopeTicketsWrite,
		Summary:     "Assign a ticket to an engineer, or unassign it",
		Description: "An admin assigns any active ticket, its assignee assigns it to another engineer. With null, for admins only, it is unassigned until an engineer accepts it or is assigned. Nobody assigns a ticket to its reporter; an engineer who reported one may accept it while it is unassigned.", RequestExample: exampleAssign, Example: exampleDeclined,
		Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, h.assign)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/engineers", ID: "list-engineers", Tag: "tickets", Allow: staff, Scope: identity.ScopeTicketsRead,
		Summary: "Engineers who can be assigned tickets, by name", Errors: []string{errs.CodeInvalidCursor}, Example: exampleEngineers,
		Description: "All approved engineers, also those who are not available at the moment.",
	}, h.engineers)
	registerConversation(api, h)
	registerNotifications(api, h)
	registerFollowers(api, h)
}

// updateDescription has the rules of Edit.check and steps.
const updateDescription = `Fields that are absent stay as they are. Title and description: the reporter while the ticket is active, the assignee, an admin. Priority: the reporter while it is open, the assignee, an admin. Resolution, blocked_reason and waiting_for: the assignee, an admin.

Status: the reporter closes a ticket that is open, in_progress, blocked or resolved, and reopens one that is resolved or closed, to open. The assignee takes it from open to in_progress, from in_progress to blocked and back, from in_progress or blocked to resolved, with a resolution, and from resolved back to in_progress. An admin may take every one of these steps. A step to an active status clears the resolution and its times; a ticket without an assignee can't be in_progress.

An edit that changes nothing, for example to the present status, answers with the ticket as it is. With If-Match it is refused when the ticket has changed since.`

type handlers struct{ s *Service }

// ViewerFrom returns the viewer of a request.
func ViewerFrom(ctx context.Context) Viewer { return ViewerOf(identity.PrincipalFrom(ctx)) }

// ViewerOf returns the viewer that a user is.
func ViewerOf(p identity.Principal) Viewer {
	return Viewer{ID: p.UserID, Name: p.Name, Email: p.Email, Role: string(p.Role), Unverified: p.Unverified}
}

// Ref is a ticket's id or number.
type Ref struct {
	ID     uuid.UUID
	Number int64 // 0 for an id
}

// lengthOfUUID is that of the form of RFC 9562. No number of 64 bits is as long.
const lengthOfUUID = 36

var errRef = errors.New("neither a UUID nor a number")

// UnmarshalText reads a UUID or a positive decimal number.
func (r *Ref) UnmarshalText(text []byte) error {
	if len(text) != lengthOfUUID {
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || n <= 0 || strconv.FormatInt(n, 10) != string(text) {
			return errRef
		}
		*r = Ref{Number: n}
		return nil
	}
	id, err := uuid.ParseBytes(text)
	if err != nil {
		return errRef
	}
	*r = Ref{ID: id}
	return nil
}

// TicketPath is the path parameter of a ticket.
type TicketPath struct {
	Ticket Ref `path:"id" doc:"The ticket's id, or its number." example:"42"`
}

// id returns the ticket's id, which it finds by the number if needed.
func (h handlers) id(ctx context.Context, in TicketPath) (uuid.UUID, error) {
	if in.Ticket.Number == 0 {
		return in.Ticket.ID, nil
	}
	return h.s.Find(ctx, in.Ticket.Number)
}

type ticketAnswer struct {
	ETag string `header:"ETag"`
	Body TicketView
}

// with calls do with the id of the path and answers with the ticket it returns.
func (h handlers) with(ctx context.Context, in TicketPath, do func(v Viewer, id uuid.UUID) (Ticket, error)) (*ticketAnswer, error) {
	id, err := h.id(ctx, in)
	if err != nil {
		return nil, err
	}
	v := ViewerFrom(ctx)
	t, err := do(v, id)
	if err != nil {
		return nil, err
	}
	view, err := h.view(ctx, v, t)
	if err != nil {
		return nil, err
	}
	return &ticketAnswer{ETag: httpapi.ETag(int64(t.Version)), Body: view}, nil
}

// view makes the view of one ticket, with its files.
func (h handlers) view(ctx context.Context, v Viewer, t Ticket) (TicketView, error) {
	view := ViewTicket(v, t)
	files, err := h.s.files(ctx, t)
	if err != nil {
		return TicketView{}, err
	}
	views := attachment.Views(files)
	view.Attachments = &views
	return view, nil
}

type createInput struct {
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255" doc:"Makes a repeated request safe for 24 hours: the same request with the same key gets the first answer." example:"5d6b2f0e-3c1a-4e8b-9f7d-1a2b3c4d5e6f"`
	Body           struct {
		Title       string   `json:"title" minLength:"1" maxLength:"200" doc:"One line that says what is wrong."`
		Description string   `json:"description" minLength:"1" maxLength:"20000" doc:"What happened, in several lines if needed."`
		Priority    Priority `json:"priority,omitempty" default:"normal" doc:"How urgent it is."`

		ReporterEmail string `json:"reporter_email,omitempty" minLength:"1" maxLength:"254" doc:"For engineers and admins: the address of the customer on whose behalf it is raised. An unknown one becomes a customer without a password."`
		ReporterName  string `json:"reporter_name,omitempty" minLength:"1" maxLength:"200" doc:"The customer's name, for an unknown reporter_email."`

		AttachmentIDs []uuid.UUID `json:"attachment_ids,omitempty" maxItems:"10" nullable:"false" doc:"Files that you uploaded with POST /v1/attachments, in the order in which they are shown."`
	}
}

type createAnswer struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Replayed string `header:"Idempotency-Replayed"`
	Body     TicketView
}

func (h handlers) create(ctx context.Context, in *createInput) (*createAnswer, error) {
	if err := clean(line("body.title", &in.Body.Title), prose("body.description", &in.Body.Description, 20000)); err != nil {
		return nil, err
	}
	if in.Body.ReporterName != "" && in.Body.ReporterEmail == "" {
		return nil, errs.Validation(errs.Field{Location: "body.reporter_name", Message: "is allowed only with reporter_email"})
	}
	once, err := NewOnce(in.IdempotencyKey, "create-ticket", in.Body)
	if err != nil {
		return nil, err
	}
	v := ViewerFrom(ctx)
	t, err := h.s.Create(ctx, v, New{
		Title: in.Body.Title, Description: in.Body.Description, Priority: in.Body.Priority,
		ReporterEmail: in.Body.ReporterEmail, ReporterName: in.Body.ReporterName, AttachmentIDs: in.Body.AttachmentIDs,
	}, once)
	if err != nil {
		return nil, err
	}
	view, err := h.view(ctx, v, t)
	if err != nil {
		return nil, err
	}
	return &createAnswer{
		Replayed: once.replayed(), Location: "/v1/tickets/" + t.ID.String(), ETag: httpapi.ETag(int64(t.Version)), Body: view,
	}, nil
}

// ahead asks for the ticket of a request together with its session.
func (h handlers) ahead(r *http.Request) any {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return nil
	}
	return h.s.rows.Ask(id)
}

func (h handlers) get(ctx context.Context, in *TicketPath) (*ticketAnswer, error) {
	return h.with(ctx, *in, func(v Viewer, id uuid.UUID) (Ticket, error) {
		if read, ok := httpapi.Ahead(ctx).(asked); ok {
			return h.s.get(ctx, v, read)
		}
		return h.s.Get(ctx, v, id)
	})
}

type updateInput struct {
	TicketPath
	IfMatch string `header:"If-Match" doc:"The ETag that was read; the edit is refused when the ticket has changed since." example:"\"3\""`
	Body    struct {
		Title       *string   `json:"title,omitempty" minLength:"1" maxLength:"200" doc:"One line that says what is wrong."`
		Description *string   `json:"description,omitempty" minLength:"1" maxLength:"20000" doc:"What happened."`
		Priority    *Priority `json:"priority,omitempty" doc:"How urgent it is."`
		Status      *Status   `json:"status,omitempty" doc:"Where the ticket goes; see the description of the operation for who may take it where."`
		Resolution  *string   `json:"resolution,omitempty" minLength:"1" maxLength:"20000" doc:"What fixed it; needed to resolve."`

		BlockedReason *string     `json:"blocked_reason,omitempty" minLength:"1" maxLength:"1000" doc:"Why it is blocked; only with the status blocked."`
		WaitingFor    *WaitingFor `json:"waiting_for,omitempty" doc:"Whom it waits for; only with the status blocked, other by default."`
	}
}

func (h handlers) update(ctx context.Context, in *updateInput) (*ticketAnswer, error) {
	match, err := httpapi.ParseIfMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := clean(line("body.title", b.Title), prose("body.description", b.Description, 20000),
		prose("body.resolution", b.Resolution, 20000), prose("body.blocked_reason", b.BlockedReason, 1000)); err != nil {
		return nil, err
	}
	return h.with(ctx, in.TicketPath, func(v Viewer, id uuid.UUID) (Ticket, error) {
		return h.s.Update(ctx, v, id, Edit{
			Title: b.Title, Description: b.Description, Priority: b.Priority,
			Status: b.Status, Resolution: b.Resolution,
			BlockedReason: b.BlockedReason, WaitingFor: b.WaitingFor,
		}, func(version int) bool { return match.Allows(int64(version)) })
	})
}

func (h handlers) accept(ctx context.Context, in *TicketPath) (*ticketAnswer, error) {
	return h.with(ctx, *in, func(v Viewer, id uuid.UUID) (Ticket, error) { return h.s.Accept(ctx, v, id) })
}

type declineInput struct {
	TicketPath
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000" doc:"For engineers and admins."`
	}
}

func (h handlers) decline(ctx context.Context, in *declineInput) (*ticketAnswer, error) {
	if err := clean(prose("body.reason", &in.Body.Reason, 1000)); err != nil {
		return nil, err
	}
	return h.with(ctx, in.TicketPath, func(v Viewer, id uuid.UUID) (Ticket, error) {
		return h.s.Decline(ctx, v, id, in.Body.Reason)
	})
}

type assignInput struct {
	TicketPath
	Body struct {
		EngineerID *uuid.UUID `json:"engineer_id" format:"uuid" nullable:"true" doc:"An approved engineer, or, for an admin, null."`
	}
}

func (h handlers) assign(ctx context.Context, in *assignInput) (*ticketAnswer, error) {
	return h.with(ctx, in.TicketPath, func(v Viewer, id uuid.UUID) (Ticket, error) {
		return h.s.Assign(ctx, v, id, in.Body.EngineerID)
	})
}

type engineersInput struct {
	httpapi.PageParams
}

type engineerView struct {
	ID            uuid.UUID `json:"id" format:"uuid" doc:"The engineer's user id."`
	Name          string    `json:"name" doc:"The engineer's name."`
	Available     bool      `json:"available" doc:"Whether tickets are assigned automatically."`
	ActiveTickets int       `json:"active_tickets" doc:"Tickets assigned to the engineer that are open, in_progress or blocked."`
}

func (h handlers) engineers(ctx context.Context, in *engineersInput) (*httpapi.PageOutput[engineerView], error) {
	return httpapi.Pager[Engineer, EngineerPosition, engineerView]{
		Filters:  "engineers",
		Fetch:    func(after *EngineerPosition, n int) ([]Engineer, error) { return h.s.Engineers(ctx, after, n) },
		Position: func(e Engineer) EngineerPosition { return EngineerPosition{Name: e.Name, ID: e.ID} },
		View:     func(e Engineer) engineerView { return engineerView(e) },
	}.Page(ctx, in.PageParams)
}

// cleaning is a text of a request that is to be cleaned by package text.
type cleaning func() []errs.Field

// clean cleans texts in place and returns one error for all that are invalid.
func clean(texts ...cleaning) error {
	var fields []errs.Field
	for _, c := range texts {
		fields = append(fields, c()...)
	}
	if len(fields) == 0 {
		return nil
	}
	return errs.Validation(fields...)
}

// line is a text of one line, at most as long as a title.
func line(location string, s *string) cleaning {
	return cleaned(location, s, func(s string) (string, error) { return text.Line(s, 200) })
}

// prose is a text of several lines.
func prose(location string, s *string, most int) cleaning {
	return cleaned(location, s, func(s string) (string, error) { return text.Prose(s, most) })
}

func cleaned(location string, s *string, by func(string) (string, error)) cleaning {
	return func() []errs.Field {
		if s == nil {
			return nil
		}
		clean, err := by(*s)
		if err != nil {
			return []errs.Field{{Location: location, Message: err.Error()}}
		}
		*s = clean
		return nil
	}
}

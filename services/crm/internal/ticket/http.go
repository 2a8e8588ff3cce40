package ticket

import (
	"context"
	"net/http"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
)

// The roles that operations of tickets are for.
var (
	Everybody = []string{string(identity.RoleCustomer), string(identity.RoleEngineer), string(identity.RoleAdmin)}
	staff     = []string{string(identity.RoleEngineer), string(identity.RoleAdmin)}
	engineers = []string{string(identity.RoleEngineer)}
	Admins    = []string{string(identity.RoleAdmin)}
)

// Register mounts the routes below /v1/tickets.
func Register(api *httpapi.API, s *Service) {
	h := handlers{s}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets", ID: "create-ticket", Tag: "tickets", Status: http.StatusCreated, Allow: Everybody,
		Summary:     "Raise a ticket",
		Description: "An approved engineer, if any, is assigned in the same transaction: the one with the fewest active tickets, the longest unassigned among equals. Without one the ticket waits and is assigned as soon as an engineer is available. With an Idempotency-Key the same request again gives the first answer for 24 hours.",
		Errors:      []string{errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight},
	}, h.create)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}", ID: "get-ticket", Tag: "tickets", Allow: Everybody,
		Summary: "Read a ticket", Errors: []string{errs.CodeNotFound},
	}, h.get)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPatch, Path: "/v1/tickets/{id}", ID: "update-ticket", Tag: "tickets", Allow: Everybody,
		Summary:     "Edit a ticket or take it to another status",
		Description: "Its reporter edits title and description while it is active, closes and reopens it; its assignee works on it; an admin may do all of that. An edit that changes nothing answers with the ticket as it is.",
		Errors:      []string{errs.CodeNotFound, errs.CodeVersionMismatch, errs.CodeInvalidTransition, errs.CodeConflict},
	}, h.update)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/accept", ID: "accept-ticket", Tag: "tickets", Allow: engineers,
		Summary: "Accept a ticket that is assigned to you or to nobody",
		Errors:  []string{errs.CodeNotFound, errs.CodeAlreadyAccepted, errs.CodeInvalidTransition},
	}, h.accept)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/decline", ID: "decline-ticket", Tag: "tickets", Allow: engineers,
		Summary:     "Decline a ticket that is assigned to you",
		Description: "It is offered to the next engineer, never back to one who declined it while others remain. The reason is for engineers and admins to read.",
		Errors:      []string{errs.CodeNotFound, errs.CodeInvalidTransition},
	}, h.decline)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/assign", ID: "assign-ticket", Tag: "tickets", Allow: Admins,
		Summary:     "Give a ticket to an engineer, or take it from one",
		Description: "null takes the ticket from its assignee; it then stays without one until an engineer accepts it or is given it.",
		Errors:      []string{errs.CodeNotFound, errs.CodeConflict},
	}, h.assign)
	registerConversation(api, h)
	registerNotifications(api, h)
}

type handlers struct{ s *Service }

// ViewerFrom makes the viewer of a request from its principal.
func ViewerFrom(ctx context.Context) Viewer {
	p := identity.PrincipalFrom(ctx)
	return Viewer{ID: p.UserID, Name: p.Name, Email: p.Email, Role: string(p.Role)}
}

// TicketPath names a ticket in a path.
type TicketPath struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type ticketAnswer struct {
	ETag string `header:"ETag"`
	Body TicketView
}

func answer(t Ticket, err error) (*ticketAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &ticketAnswer{ETag: httpapi.ETag(int64(t.Version)), Body: ViewTicket(t)}, nil
}

type createInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes a repeated request safe for 24 hours."`
	Body           struct {
		Title       string `json:"title" minLength:"1" maxLength:"200"`
		Description string `json:"description" minLength:"1" maxLength:"20000"`
		Priority    string `json:"priority,omitempty" enum:"low,normal,high,urgent" default:"normal"`
	}
}

type createAnswer struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     TicketView
}

func (h handlers) create(ctx context.Context, in *createInput) (*createAnswer, error) {
	if err := validate(line("body.title", &in.Body.Title), prose("body.description", &in.Body.Description)); err != nil {
		return nil, err
	}
	once, err := NewOnce(in.IdempotencyKey, "create-ticket", in.Body)
	if err != nil {
		return nil, err
	}
	t, err := h.s.Create(ctx, ViewerFrom(ctx), New{
		Title: in.Body.Title, Description: in.Body.Description, Priority: Priority(in.Body.Priority),
	}, once)
	if err != nil {
		return nil, err
	}
	return &createAnswer{
		Location: "/v1/tickets/" + t.ID.String(), ETag: httpapi.ETag(int64(t.Version)), Body: ViewTicket(t),
	}, nil
}

func (h handlers) get(ctx context.Context, in *TicketPath) (*ticketAnswer, error) {
	return answer(h.s.Get(ctx, ViewerFrom(ctx), in.ID))
}

type updateInput struct {
	TicketPath
	IfMatch string `header:"If-Match" doc:"The ETag you read; the edit is refused when the ticket has changed since."`
	Body    struct {
		Title       *string `json:"title,omitempty" minLength:"1" maxLength:"200"`
		Description *string `json:"description,omitempty" minLength:"1" maxLength:"20000"`
		Priority    *string `json:"priority,omitempty" enum:"low,normal,high,urgent"`
		Status      *string `json:"status,omitempty" enum:"open,in_progress,blocked,resolved,closed"`
		Resolution  *string `json:"resolution,omitempty" minLength:"1" maxLength:"20000" doc:"What fixed it; needed to resolve."`
	}
}

func (h handlers) update(ctx context.Context, in *updateInput) (*ticketAnswer, error) {
	match, err := httpapi.ParseIfMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	b := in.Body
	if err := validate(line("body.title", b.Title), prose("body.description", b.Description), prose("body.resolution", b.Resolution)); err != nil {
		return nil, err
	}
	return answer(h.s.Update(ctx, ViewerFrom(ctx), in.ID, Edit{
		Title: b.Title, Description: b.Description, Priority: (*Priority)(b.Priority),
		Status: (*Status)(b.Status), Resolution: b.Resolution,
	}, func(version int) bool { return match.Allows(int64(version)) }))
}

func (h handlers) accept(ctx context.Context, in *TicketPath) (*ticketAnswer, error) {
	return answer(h.s.Accept(ctx, ViewerFrom(ctx), in.ID))
}

type declineInput struct {
	TicketPath
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"1000"`
	}
}

func (h handlers) decline(ctx context.Context, in *declineInput) (*ticketAnswer, error) {
	if err := validate(prose("body.reason", &in.Body.Reason)); err != nil {
		return nil, err
	}
	return answer(h.s.Decline(ctx, ViewerFrom(ctx), in.ID, in.Body.Reason))
}

type assignInput struct {
	TicketPath
	Body struct {
		EngineerID *uuid.UUID `json:"engineer_id" format:"uuid" nullable:"true" doc:"An approved engineer, or null."`
	}
}

func (h handlers) assign(ctx context.Context, in *assignInput) (*ticketAnswer, error) {
	return answer(h.s.Assign(ctx, ViewerFrom(ctx), in.ID, in.Body.EngineerID))
}

// validate gathers what is wrong with texts into one error.
func validate(found ...[]errs.Field) error {
	var fields []errs.Field
	for _, f := range found {
		fields = append(fields, f...)
	}
	if len(fields) == 0 {
		return nil
	}
	return errs.Validation(fields...)
}

// line wants a text on one line: no control characters, not blank.
func line(location string, s *string) []errs.Field {
	if s != nil && strings.ContainsFunc(*s, unicode.IsControl) {
		return []errs.Field{{Location: location, Message: "must be one line without control characters"}}
	}
	return prose(location, s)
}

// prose wants a text that is not blank; lines and tabs are welcome.
func prose(location string, s *string) []errs.Field {
	if s == nil {
		return nil
	}
	if strings.TrimSpace(*s) == "" {
		return []errs.Field{{Location: location, Message: "must not be blank"}}
	}
	if strings.ContainsFunc(*s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }) {
		return []errs.Field{{Location: location, Message: "must have no control characters but line breaks and tabs"}}
	}
	return nil
}

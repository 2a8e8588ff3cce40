package inbound

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

const (
	tag = "inbound"
	// rawType is the media type of a mail (RFC 2046, section 5.2.1).
	rawType = "message/rfc822"
	// rawStall is how long a client may take to read one part of a raw mail.
	rawStall = 30 * time.Second
)

var (
	staff  = []string{string(identity.RoleEngineer), string(identity.RoleAdmin)}
	admins = []string{string(identity.RoleAdmin)}
)

// Register adds the operations on mail that came in.
func Register(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "InboundOutcome", "What became of a mail that came in: ticket and comment had that effect, held waits for a decision, refused was decided against, ignored is automatic mail, duplicate a copy of another mail.", Outcomes...)
	httpapi.Enum(api, "InboundReason", "Why a mail is held or ignored. sender: its sender takes no part in the ticket. authentication: the domain of its sender disowns it (DMARC). "+
		"audience: from an address of staff, to an address for answers that only customers were mailed. account: the account of its sender is not approved. limit: more than its sender may send in an hour. "+
		"address: to no address of the help desk. no_sender: no sender that can be read. unreadable: it can't be taken apart. failed: processing it failed. automatic: a program sent it. own: the help desk sent it.", Reasons...)
	h := handlers{s}
	registerOriginals(api, h)
	registerMails(api, h)
	registerDecisions(api, h)
}

type handlers struct{ s *Service }

func (h handlers) ticket(ctx context.Context, in ticket.TicketPath) (uuid.UUID, error) {
	if in.Ticket.Number == 0 {
		return in.Ticket.ID, nil
	}
	return h.s.Tickets.Find(ctx, in.Ticket.Number)
}

func registerOriginals(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/comments/{comment_id}/original", ID: "get-comment-original", Tag: tag, Allow: staff, Scope: identity.ScopeTicketsRead, Resource: true,
		Summary: "The mail that a comment came by", Description: "With its whole text, of which the comment shows what is new.",
		Errors: []string{errs.CodeNotFound}, Example: exampleOriginal,
	}, func(ctx context.Context, in *commentPath) (*originalAnswer, error) {
		return answer(h.ofComment(ctx, in))
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/comments/{comment_id}/original/raw", ID: "get-raw-comment-original", Tag: tag, Allow: staff, Scope: identity.ScopeTicketsRead,
		Summary: "The bytes of the mail that a comment came by", Description: rawDescription, Headers: []string{"Content-Disposition"},
		Errors: []string{errs.CodeNotFound}, Example: exampleRaw,
	}, rawType, func(ctx context.Context, in *commentPath) (httpapi.Stream, error) {
		o, err := h.ofComment(ctx, in)
		return h.raw(ctx, o, err)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/original", ID: "get-ticket-original", Tag: tag, Allow: staff, Scope: identity.ScopeTicketsRead, Resource: true,
		Summary: "The mail that a ticket came by", Description: "404 for a ticket that did not come by mail.",
		Errors: []string{errs.CodeNotFound}, Example: exampleOriginal,
	}, func(ctx context.Context, in *ticket.TicketPath) (*originalAnswer, error) {
		return answer(h.ofTicket(ctx, in))
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/original/raw", ID: "get-raw-ticket-original", Tag: tag, Allow: staff, Scope: identity.ScopeTicketsRead,
		Summary: "The bytes of the mail that a ticket came by", Description: rawDescription, Headers: []string{"Content-Disposition"},
		Errors: []string{errs.CodeNotFound}, Example: exampleRaw,
	}, rawType, func(ctx context.Context, in *ticket.TicketPath) (httpapi.Stream, error) {
		o, err := h.ofTicket(ctx, in)
		return h.raw(ctx, o, err)
	})
}

const rawDescription = "As they came in (RFC 5322), for as long as the notification service keeps them (NOTIFICATION_INBOUND_RETENTION, 90 days); 404 afterwards. 503 while it doesn't answer."

type commentPath struct {
	ticket.TicketPath
	CommentID uuid.UUID `path:"comment_id" format:"uuid" doc:"The comment's id."`
}

type originalAnswer struct{ Body originalView }

func answer(o Original, err error) (*originalAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &originalAnswer{viewOriginal(o)}, nil
}

func (h handlers) ofComment(ctx context.Context, in *commentPath) (Original, error) {
	id, err := h.ticket(ctx, in.TicketPath)
	if err != nil {
		return Original{}, err
	}
	return h.s.OriginalOfComment(ctx, ticket.ViewerFrom(ctx), id, in.CommentID)
}

func (h handlers) ofTicket(ctx context.Context, in *ticket.TicketPath) (Original, error) {
	id, err := h.ticket(ctx, *in)
	if err != nil {
		return Original{}, err
	}
	return h.s.OriginalOfTicket(ctx, ticket.ViewerFrom(ctx), id)
}

func (h handlers) raw(ctx context.Context, o Original, err error) (httpapi.Stream, error) {
	if err != nil {
		return nil, err
	}
	content, err := h.s.Raw(ctx, o.ID)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, w *httpapi.StreamWriter) error {
		defer func() { _ = content.Close() }()
		w.SetHeader("Content-Disposition", `attachment; filename="`+o.ID.String()+`.eml"`)
		buffer := make([]byte, 64<<10)
		for {
			n, err := content.Read(buffer)
			if n > 0 {
				if err := w.SetWriteDeadline(h.s.Now().Add(rawStall)); err != nil {
					return err
				}
				if _, err := w.Write(buffer[:n]); err != nil {
					return err
				}
			}
			if err == io.EOF {
				return w.Flush()
			}
			if err != nil {
				return err
			}
		}
	}, nil
}

func registerMails(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound", ID: "list-inbound-mails", Tag: tag, Allow: admins, Scope: identity.ScopeAdmin,
		Summary: "Mails that came in, newest first", Description: "What became of each. Held ones wait for a decision; ignored ones, duplicates and refused ones are listed for 90 days.",
		Errors: []string{errs.CodeInvalidCursor}, Example: httpapi.NewPage([]mailView{exampleMail}, ""),
	}, h.list)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound/{id}", ID: "get-inbound-mail", Tag: tag, Allow: admins, Scope: identity.ScopeAdmin, Resource: true,
		Summary: "A mail that came in", Description: "With its whole text, which is empty for automatic mail and for duplicates: the raw mail has it.",
		Errors: []string{errs.CodeNotFound}, Example: exampleOriginal,
	}, func(ctx context.Context, in *mailPath) (*originalAnswer, error) {
		return answer(h.s.Original(ctx, in.ID))
	})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/inbound/{id}/raw", ID: "get-raw-inbound-mail", Tag: tag, Allow: admins, Scope: identity.ScopeAdmin,
		Summary: "The bytes of a mail that came in", Description: rawDescription, Headers: []string{"Content-Disposition"},
		Errors: []string{errs.CodeNotFound}, Example: exampleRaw,
	}, rawType, func(ctx context.Context, in *mailPath) (httpapi.Stream, error) {
		o, err := h.s.Original(ctx, in.ID)
		return h.raw(ctx, o, err)
	})
}

func registerDecisions(api *httpapi.API, h handlers) {
	for _, d := range []struct {
		verb, does, then string
		letIn            bool
	}{
		{"release", "Let a held comment in", "It becomes public, with the effect that it would have had: its ticket is reopened, people are notified.", true},
		{"refuse", "Refuse a held comment", "It stays internal.", false},
	} {
		httpapi.Register(api, httpapi.Operation{
			Method: http.MethodPost, Path: "/v1/tickets/{id}/comments/{comment_id}/" + d.verb, ID: d.verb + "-comment", Tag: tag, Allow: staff, Scope: identity.ScopeTicketsWrite,
			Summary: d.does, Description: d.then + " Only the ticket's assignee and admins decide. Whose mails are held is in the enum InboundReason.",
			Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided, errs.CodeConflict},
		}, func(ctx context.Context, in *commentPath) (*struct{}, error) {
			id, err := h.ticket(ctx, in.TicketPath)
			if err != nil {
				return nil, err
			}
			return nil, h.s.Tickets.DecideComment(ctx, ticket.ViewerFrom(ctx), id, in.CommentID, d.letIn)
		})
	}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/inbound/{id}/release", ID: "release-inbound-mail", Tag: tag, Allow: admins, Scope: identity.ScopeAdmin, Status: http.StatusOK,
		Summary: "Let in a mail that is held or was ignored", Description: "A held comment becomes public. Any other mail becomes what it would have been without what held it: mostly a new ticket of its sender. 503 while the notification service doesn't answer.",
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided, errs.CodeConflict}, Example: exampleMail,
	}, h.decide(h.s.Release))
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/inbound/{id}/refuse", ID: "refuse-inbound-mail", Tag: tag, Allow: admins, Scope: identity.ScopeAdmin, Status: http.StatusOK,
		Summary: "Refuse a held mail", Description: "It has no effect; a held comment stays internal.",
		Errors: []string{errs.CodeNotFound, errs.CodeAlreadyDecided, errs.CodeConflict}, Example: exampleMail,
	}, h.decide(h.s.Refuse))
}

type listInput struct {
	httpapi.PageParams
	Outcome Outcome `query:"outcome" doc:"Only mails of which this became."`
}

func (h handlers) list(ctx context.Context, in *listInput) (*httpapi.PageOutput[mailView], error) {
	return httpapi.Pager[Record, Position, mailView]{
		Filters:  "inbound " + string(in.Outcome),
		Fetch:    func(after *Position, n int) ([]Record, error) { return h.s.List(ctx, in.Outcome, after, n) },
		Position: func(r Record) Position { return Position{At: r.ReceivedAt, ID: r.ID} },
		View:     viewMail,
	}.Page(ctx, in.PageParams)
}

type mailPath struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The mail's id."`
}

type mailAnswer struct{ Body mailView }

func (h handlers) decide(do func(context.Context, ticket.Viewer, uuid.UUID) (Record, error)) func(context.Context, *mailPath) (*mailAnswer, error) {
	return func(ctx context.Context, in *mailPath) (*mailAnswer, error) {
		r, err := do(ctx, ticket.ViewerFrom(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		return &mailAnswer{viewMail(r)}, nil
	}
}

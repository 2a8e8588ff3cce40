package ticket

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
)

func registerConversation(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/comments", ID: "create-comment", Tag: "tickets", Status: http.StatusCreated, Allow: AllRoles, Scope: identity.ScopeTicketsWrite,
		Summary:        "Comment on a ticket",
		Description:    "Only engineers and admins see internal comments, in every list, search, event and mail. A public comment by the reporter takes a ticket that waits for the customer back to in_progress, and reopens one that is resolved, or closed for less than 14 days (CRM_REOPEN_WITHIN); later it is refused. A customer writes at most 60 an hour (CRM_TICKETS_PER_HOUR). With an Idempotency-Key the same request again gets the first answer for 24 hours.",
		RequestExample: exampleAnswer, Example: exampleComment,
		Errors: []string{errs.CodeNotFound, errs.CodeConflict, errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight, errs.CodeRateLimited},
	}, h.comment)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/tickets/{id}/comments/{comment_id}", ID: "delete-comment", Tag: "tickets", Allow: Admins, Scope: identity.ScopeTicketsWrite,
		Summary:     "Remove a comment's text permanently",
		Description: "The comment stays in the list without its text, with removed_at; an event and the audit log record it. Removing it again changes nothing.",
		Errors:      []string{errs.CodeNotFound},
	}, h.removeComment)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/comments", ID: "list-comments", Tag: "tickets", Allow: AllRoles, Scope: identity.ScopeTicketsRead,
		Summary:     "Comments on a ticket, newest first",
		Description: "Customers get the public comments, engineers and admins the internal ones too. A removed comment is listed without its text.",
		Example:     httpapi.NewPage([]commentView{exampleComment}, ""), Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, h.comments)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/events", ID: "list-events", Tag: "tickets", Allow: AllRoles, Scope: identity.ScopeTicketsRead,
		Summary: "Events of a ticket, oldest first", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor}, Example: exampleEvents,
	}, h.events)
}

type commentInput struct {
	TicketPath
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255" doc:"Makes a repeated request safe for 24 hours: the same request with the same key gets the first answer." example:"8f14e45f-ceea-4a67-9d2b-6c3d5e7f9a1b"`
	Body           struct {
		Body     string `json:"body" minLength:"1" maxLength:"20000" doc:"The text, in several lines if needed."`
		Internal bool   `json:"internal,omitempty" doc:"For engineers and admins only."`

		AttachmentIDs []uuid.UUID `json:"attachment_ids,omitempty" maxItems:"10" nullable:"false" doc:"Files that you uploaded with POST /v1/attachments, in the order in which they are shown."`
	}
}

type commentAnswer struct {
	Replayed string `header:"Idempotency-Replayed"`
	Body     commentView
}

func (h handlers) comment(ctx context.Context, in *commentInput) (*commentAnswer, error) {
	if err := clean(prose("body.body", &in.Body.Body, 20000)); err != nil {
		return nil, err
	}
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	once, err := NewOnce(in.IdempotencyKey, "create-comment "+id.String(), in.Body)
	if err != nil {
		return nil, err
	}
	c, err := h.s.AddComment(ctx, ViewerFrom(ctx), id, NewComment{
		Body: in.Body.Body, Internal: in.Body.Internal, AttachmentIDs: in.Body.AttachmentIDs,
	}, once)
	if err != nil {
		return nil, err
	}
	files, err := h.s.filesOf(ctx, c)
	if err != nil {
		return nil, err
	}
	return &commentAnswer{Replayed: once.replayed(), Body: viewComment(ViewerFrom(ctx), c, files[c.ID])}, nil
}

type removeCommentInput struct {
	TicketPath
	CommentID uuid.UUID `path:"comment_id" format:"uuid" doc:"The comment's id."`
}

func (h handlers) removeComment(ctx context.Context, in *removeCommentInput) (*struct{}, error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	return nil, h.s.RemoveComment(ctx, ViewerFrom(ctx), id, in.CommentID)
}

type conversationInput struct {
	TicketPath
	httpapi.PageParams
}

func (h handlers) comments(ctx context.Context, in *conversationInput) (*httpapi.PageOutput[commentView], error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	return httpapi.Pager[commentView, Position, commentView]{
		Filters:  "comments " + id.String(),
		Fetch:    func(after *Position, n int) ([]commentView, error) { return h.commentViews(ctx, id, after, n) },
		Position: func(c commentView) Position { return Position{At: c.CreatedAt.Time, ID: c.ID} },
		View:     func(c commentView) commentView { return c },
	}.Page(ctx, in.PageParams)
}

func (h handlers) commentViews(ctx context.Context, id uuid.UUID, after *Position, n int) ([]commentView, error) {
	comments, err := h.s.Comments(ctx, ViewerFrom(ctx), id, after, n)
	if err != nil {
		return nil, err
	}
	files, err := h.s.filesOf(ctx, comments...)
	if err != nil {
		return nil, err
	}
	views := make([]commentView, len(comments))
	for i, c := range comments {
		views[i] = viewComment(ViewerFrom(ctx), c, files[c.ID])
	}
	return views, nil
}

func (h handlers) events(ctx context.Context, in *conversationInput) (*httpapi.PageOutput[EventView], error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	return httpapi.Pager[EventView, Position, EventView]{
		Filters:  "events " + id.String(),
		Fetch:    func(after *Position, n int) ([]EventView, error) { return h.eventViews(ctx, id, after, n) },
		Position: func(e EventView) Position { return Position{At: e.CreatedAt.Time, ID: e.ID} },
		View:     func(e EventView) EventView { return e },
	}.Page(ctx, in.PageParams)
}

func (h handlers) eventViews(ctx context.Context, id uuid.UUID, after *Position, n int) ([]EventView, error) {
	events, err := h.s.Events(ctx, ViewerFrom(ctx), id, after, n)
	if err != nil {
		return nil, err
	}
	views := make([]EventView, len(events))
	for i, e := range events {
		if views[i], err = ViewEvent(e); err != nil {
			return nil, err
		}
	}
	return views, nil
}

package ticket

import (
	"context"
	"net/http"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

func registerConversation(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/comments", ID: "create-comment", Tag: "tickets", Status: http.StatusCreated, Allow: Everybody,
		Summary:     "Comment on a ticket",
		Description: "Internal comments are for engineers and admins alone, in every list, search, event and mail. With an Idempotency-Key the same request again gives the first answer for 24 hours.",
		Errors:      []string{errs.CodeNotFound, errs.CodeIdempotencyMismatch, errs.CodeIdempotencyInFlight},
	}, h.comment)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/comments", ID: "list-comments", Tag: "tickets", Allow: Everybody,
		Summary: "Comments on a ticket, newest first", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, h.comments)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/events", ID: "list-events", Tag: "tickets", Allow: Everybody,
		Summary: "The life of a ticket, oldest first", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
	}, h.events)
}

type commentInput struct {
	TicketPath
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" doc:"Makes a repeated request safe for 24 hours."`
	Body           struct {
		Body     string `json:"body" minLength:"1" maxLength:"20000"`
		Internal bool   `json:"internal,omitempty" doc:"For engineers and admins alone."`
	}
}

type commentAnswer struct {
	Body commentView
}

func (h handlers) comment(ctx context.Context, in *commentInput) (*commentAnswer, error) {
	if err := validate(prose("body.body", &in.Body.Body)); err != nil {
		return nil, err
	}
	once, err := NewOnce(in.IdempotencyKey, "create-comment "+in.ID.String(), in.Body)
	if err != nil {
		return nil, err
	}
	c, err := h.s.AddComment(ctx, ViewerFrom(ctx), in.ID, in.Body.Body, in.Body.Internal, once)
	if err != nil {
		return nil, err
	}
	return &commentAnswer{Body: viewComment(c)}, nil
}

type conversationInput struct {
	TicketPath
	httpapi.PageParams
}

// place decodes a cursor of one of the ticket's lists; nil is the beginning.
func (in conversationInput) place(list string) (*Position, error) {
	if in.Cursor == "" {
		return nil, nil
	}
	at, err := httpapi.DecodeCursor[Position](in.Cursor, list+in.ID.String())
	if err != nil {
		return nil, err
	}
	return &at, nil
}

func (in conversationInput) next(list string, at *Position) (string, error) {
	if at == nil {
		return "", nil
	}
	return httpapi.EncodeCursor(*at, list+in.ID.String())
}

type commentsAnswer struct {
	Body httpapi.Page[commentView]
}

func (h handlers) comments(ctx context.Context, in *conversationInput) (*commentsAnswer, error) {
	from, err := in.place("comments")
	if err != nil {
		return nil, err
	}
	comments, at, err := h.s.Comments(ctx, ViewerFrom(ctx), in.ID, in.Limit, from)
	if err != nil {
		return nil, err
	}
	items := make([]commentView, len(comments))
	for i, c := range comments {
		items[i] = viewComment(c)
	}
	next, err := in.next("comments", at)
	return &commentsAnswer{Body: httpapi.NewPage(items, next)}, err
}

type eventsAnswer struct {
	Body httpapi.Page[EventView]
}

func (h handlers) events(ctx context.Context, in *conversationInput) (*eventsAnswer, error) {
	from, err := in.place("events")
	if err != nil {
		return nil, err
	}
	events, at, err := h.s.Events(ctx, ViewerFrom(ctx), in.ID, in.Limit, from)
	if err != nil {
		return nil, err
	}
	items := make([]EventView, len(events))
	for i, e := range events {
		if items[i], err = ViewEvent(e); err != nil {
			return nil, err
		}
	}
	next, err := in.next("events", at)
	return &eventsAnswer{Body: httpapi.NewPage(items, next)}, err
}

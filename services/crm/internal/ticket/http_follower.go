package ticket

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/identity"
)

func registerFollowers(api *httpapi.API, h handlers) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/{id}/followers", ID: "list-followers", Tag: "tickets", Allow: staff, Scope: identity.ScopeTicketsRead,
		Summary: "Followers of a ticket, by name", Errors: []string{errs.CodeNotFound, errs.CodeInvalidCursor},
		Description: "They are mailed what its reporter is mailed, read what the reporter reads, never internal comments, and comment, here or by mail.",
		Example:     httpapi.NewPage([]followerView{exampleFollower}, ""),
	}, h.followers)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/tickets/{id}/followers", ID: "add-follower", Tag: "tickets", Status: http.StatusCreated, Allow: staff, Scope: identity.ScopeTicketsWrite,
		Summary:        "Make somebody a follower of a ticket",
		Description:    "From then on they are mailed what the reporter is mailed, never internal comments, and their answers by mail become comments. An unknown address becomes a customer without a password. They read the ticket as its reporter does, and may comment here, too, but change nothing else. Adding a follower again changes nothing. A ticket has at most 50.",
		RequestExample: exampleFollow, Example: exampleFollower, Errors: []string{errs.CodeNotFound, errs.CodeConflict},
	}, h.addFollower)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: "/v1/tickets/{id}/followers/{follower_id}", ID: "remove-follower", Tag: "tickets", Allow: staff, Scope: identity.ScopeTicketsWrite,
		Summary: "Remove a follower", Description: "They get no more mails about the ticket, and it is missing for them from the next request on. Their comments stay.", Errors: []string{errs.CodeNotFound},
	}, h.removeFollower)
}

type followerView struct {
	ID        uuid.UUID    `json:"id" format:"uuid" doc:"The follower's user id."`
	Name      string       `json:"name" doc:"The follower's name."`
	Email     string       `json:"email" doc:"The address to which mails go."`
	AddedBy   PersonView   `json:"added_by" doc:"Who made them a follower."`
	CreatedAt httpapi.Time `json:"created_at" doc:"Since when they follow the ticket."`
}

var exampleFollower = followerView{
	ID: example.Jonas.ID, Name: example.Jonas.Name, Email: example.Jonas.Email,
	AddedBy: ExamplePerson(example.Erik), CreatedAt: httpapi.NewTime(example.At("10:00:00")),
}

func viewFollower(f Follower) followerView {
	return followerView{ID: f.ID, Name: f.Name, Email: f.Email, AddedBy: ViewPerson(f.AddedBy), CreatedAt: httpapi.NewTime(f.CreatedAt)}
}

func (h handlers) followers(ctx context.Context, in *conversationInput) (*httpapi.PageOutput[followerView], error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	return httpapi.Pager[Follower, FollowerPosition, followerView]{
		Filters: "followers " + id.String(),
		Fetch: func(after *FollowerPosition, n int) ([]Follower, error) {
			return h.s.Followers(ctx, ViewerFrom(ctx), id, after, n)
		},
		Position: func(f Follower) FollowerPosition { return FollowerPosition{Name: f.Name, ID: f.ID} },
		View:     viewFollower,
	}.Page(ctx, in.PageParams)
}

type addFollowerInput struct {
	TicketPath
	Body struct {
		Email string `json:"email" minLength:"1" maxLength:"254" doc:"The address of the person."`
		Name  string `json:"name,omitempty" minLength:"1" maxLength:"200" doc:"The name of the person, for an unknown address."`
	}
}

type followerAnswer struct{ Body followerView }

func (h handlers) addFollower(ctx context.Context, in *addFollowerInput) (*followerAnswer, error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	f, err := h.s.AddFollower(ctx, ViewerFrom(ctx), id, in.Body.Email, in.Body.Name)
	if err != nil {
		return nil, err
	}
	return &followerAnswer{viewFollower(f)}, nil
}

type removeFollowerInput struct {
	TicketPath
	FollowerID uuid.UUID `path:"follower_id" format:"uuid" doc:"The follower's user id."`
}

func (h handlers) removeFollower(ctx context.Context, in *removeFollowerInput) (*struct{}, error) {
	id, err := h.id(ctx, in.TicketPath)
	if err != nil {
		return nil, err
	}
	return nil, h.s.RemoveFollower(ctx, ViewerFrom(ctx), id, in.FollowerID)
}

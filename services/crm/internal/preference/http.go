package preference

import (
	"context"
	"net/http"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/notice"
)

const tag = "me"

var anyRole = []string{string(identity.RoleCustomer), string(identity.RoleEngineer), string(identity.RoleAdmin)}

// choice is whether a kind of mail is wanted.
type choice string

const (
	mailed  choice = "mail"
	refused choice = "none"
)

// choices are the kinds of mail that can be refused.
type choices struct {
	TicketReceived      choice `json:"ticket_received,omitempty" doc:"The receipt of a ticket that one raised."`
	TicketAssigned      choice `json:"ticket_assigned,omitempty" doc:"For engineers: a ticket was assigned to one."`
	TicketUnassigned    choice `json:"ticket_unassigned,omitempty" doc:"For engineers: a ticket is no longer assigned to one."`
	TicketChanged       choice `json:"ticket_changed,omitempty" doc:"The status or another field of a ticket changed."`
	TicketCommented     choice `json:"ticket_commented,omitempty" doc:"Somebody commented on a ticket."`
	RegistrationWaiting choice `json:"registration_waiting,omitempty" doc:"For admins: somebody waits for approval."`
}

// byKind are the fields by the kind of notice.
func (c *choices) byKind() map[string]*choice {
	return map[string]*choice{
		notice.KindTicketReceived: &c.TicketReceived, notice.KindTicketAssigned: &c.TicketAssigned,
		notice.KindTicketUnassigned: &c.TicketUnassigned, notice.KindTicketChanged: &c.TicketChanged,
		notice.KindTicketCommented: &c.TicketCommented, notice.KindRegistrationWaiting: &c.RegistrationWaiting,
	}
}

type preferencesBody struct {
	Events   choices  `json:"events" doc:"Which kinds of mail are wanted. Mails about the security of an account can't be refused."`
	Digest   Interval `json:"digest"`
	Hour     int      `json:"digest_hour" minimum:"0" maximum:"23" doc:"The hour of a daily digest, in time_zone."`
	TimeZone string   `json:"time_zone" minLength:"1" maxLength:"64" doc:"A name of the IANA time zone database, as in Europe/Berlin."`
}

func view(p Preferences) preferencesBody {
	b := preferencesBody{Digest: p.Digest, Hour: p.Hour, TimeZone: p.TimeZone}
	for kind, field := range b.Events.byKind() {
		if *field = refused; p.Mailed(kind) {
			*field = mailed
		}
	}
	return b
}

// preferences are those of a body; a kind that it doesn't name is mailed.
func (b preferencesBody) preferences() Preferences {
	p := Preferences{Digest: b.Digest, Hour: b.Hour, TimeZone: b.TimeZone}
	for kind, field := range b.Events.byKind() {
		if *field == refused {
			p.Refused = append(p.Refused, kind)
		}
	}
	return p
}

type preferencesOutput struct{ Body preferencesBody }

type putInput struct{ Body preferencesBody }

func answer(p Preferences, err error) (*preferencesOutput, error) {
	if err != nil {
		return nil, err
	}
	return &preferencesOutput{view(p)}, nil
}

var (
	examplePreferences = view(Preferences{Refused: []string{notice.KindTicketChanged}, Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"})
	exampleLink        = subscriptionBody{Kind: notice.KindTicketCommented, Mailed: true}
)

// Register adds the operations of this package to the API.
func Register(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "MailChoice", "Whether a kind of mail is wanted.", mailed, refused)
	httpapi.Enum(api, "DigestInterval", "never: each mail at once. hourly, daily: assignments, changes and comments are gathered into one mail, after each full hour or after digest_hour.", Never, Hourly, Daily)
	kinds := []mailKind{notice.KindDigest}
	for _, kind := range notice.RefusableKinds {
		kinds = append(kinds, mailKind(kind))
	}
	httpapi.Enum(api, "MailKind", "A kind of mail that can be refused. A later release may add kinds.", kinds...)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/me/preferences", ID: "get-preferences", Tag: tag, Allow: anyRole, Scope: identity.ScopePeopleRead, Resource: true,
		Summary: "One's own mail preferences", Description: "Which mails one gets, and when.", Example: examplePreferences,
	}, func(ctx context.Context, _ *struct{}) (*preferencesOutput, error) {
		return answer(s.Get(ctx, identity.PrincipalFrom(ctx).UserID))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPut, Path: "/v1/me/preferences", ID: "put-preferences", Tag: tag, Allow: anyRole, Scope: identity.ScopePeopleWrite,
		Summary: "Replace one's own mail preferences", Description: "They hold for what happens from now on. A kind that events doesn't name is mailed.",
		RequestExample: examplePreferences, Example: examplePreferences,
	}, func(ctx context.Context, in *putInput) (*preferencesOutput, error) {
		return answer(s.Put(ctx, identity.PrincipalFrom(ctx).UserID, in.Body.preferences()))
	})
	registerUnsubscribe(api, s)
}

type tokenInput struct {
	Token string `query:"token" required:"true" minLength:"1" maxLength:"200" doc:"The token of the link in the mail." example:"AZuxozdBfDqdTi9qixwNQnRpY2tldF9jb21tZW50ZWQc3YJr8eYwtCk1yX0ZrU2n"`
}

type subscriptionBody struct {
	Kind   mailKind `json:"kind"`
	Mailed bool     `json:"mailed" doc:"Whether the person still gets such mails."`
}

// mailKind is a kind of mail that a link can end.
type mailKind string

func registerUnsubscribe(api *httpapi.API, s *Service) {
	missing := []string{errs.CodeNotFound}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/unsubscribe", ID: "get-subscription", Tag: tag, Public: true,
		Summary: "What a link for unsubscribing ends", Description: "It changes nothing.", Errors: missing, Example: exampleLink,
	}, func(ctx context.Context, in *tokenInput) (*struct{ Body subscriptionBody }, error) {
		subscription, err := s.Subscription(ctx, in.Token)
		if err != nil {
			return nil, err
		}
		return &struct{ Body subscriptionBody }{subscriptionBody{mailKind(subscription.Kind), subscription.Mailed}}, nil
	})
	unsubscribe := func(ctx context.Context, in *tokenInput) (*struct{}, error) {
		return nil, s.Unsubscribe(ctx, in.Token)
	}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/unsubscribe", ID: "unsubscribe", Tag: tag, Status: http.StatusNoContent, Public: true,
		Summary: "End the mails of one kind to one person, without signing in",
		Description: "The token in each mail that can be refused is for its person and its kind alone. " +
			"A digest's ends all kinds that it gathers. Again, it changes nothing.",
		Errors: missing,
	}, unsubscribe)
	// The address in the header List-Unsubscribe is that of the page; mail programs post
	// a form to it (RFC 8058).
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/unsubscribe", ID: "unsubscribe-one-click", Tag: tag, Status: http.StatusNoContent, Public: true, AnyBody: true, Hidden: true,
		Summary: "One click in a mail program", Errors: missing,
	}, unsubscribe)
}

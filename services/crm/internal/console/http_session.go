package console

import (
	"context"
	"net/http"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/eventstream"
	"fixdesk/services/crm/internal/identity"
)

// sessionPath is the only path to which browsers send the cookie.
const sessionPath = "/session"

// cookieName is the name of the cookie with the refresh token.
const cookieName = "fixdesk_session"

type signInInput struct {
	UserAgent string `header:"User-Agent"`
	Body      struct {
		Email    string `json:"email" minLength:"1" maxLength:"254"`
		Password string `json:"password" minLength:"1" maxLength:"128"`
	}
}

type cookieInput struct {
	UserAgent string `header:"User-Agent"`
	Token     string `cookie:"fixdesk_session" maxLength:"200"`
}

type sessionOutput struct {
	SetCookie string `header:"Set-Cookie"`
	Body      struct {
		AccessToken string            `json:"access_token"`
		ExpiresIn   int               `json:"expires_in"`
		User        identity.UserBody `json:"user"`
		LastEventID string            `json:"last_event_id"` // what the pages read from now on is no older
	}
}

type signOutOutput struct {
	SetCookie string `header:"Set-Cookie"`
}

// sessions keeps the refresh token of a browser in a cookie that no script reads.
type sessions struct {
	users  *identity.Service
	events *eventstream.Service
	secure bool
}

// registerSession adds sign-in, renewal and sign-out. They are for pages of this
// host alone, and so not in the OpenAPI document.
func registerSession(api *httpapi.API, c Config) {
	s := sessions{c.Users, c.Events, c.Secure}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: sessionPath, ID: "create-session", Tag: "console", Status: http.StatusOK,
		Public: true, SameOrigin: true, Secret: true, Hidden: true, Summary: "Sign in with the refresh token in a cookie",
		Errors: []string{
			errs.CodeInvalidCredentials, errs.CodeAccountPending, errs.CodeAccountRejected, errs.CodeAccountSuspended, errs.CodeRateLimited, errs.CodeForbidden,
		},
	}, s.create)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPut, Path: sessionPath, ID: "renew-session", Tag: "console", Status: http.StatusOK,
		Public: true, SameOrigin: true, Secret: true, Hidden: true, Summary: "Get the next access token",
		Errors: []string{errs.CodeInvalidToken, errs.CodeForbidden},
	}, s.renew)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodDelete, Path: sessionPath, ID: "delete-session", Tag: "console", Status: http.StatusNoContent,
		Public: true, SameOrigin: true, Hidden: true, Summary: "Sign out and remove the cookie",
		Errors: []string{errs.CodeForbidden},
	}, s.delete)
}

func (s sessions) create(ctx context.Context, in *signInInput) (*sessionOutput, error) {
	grant, quotas, err := s.users.Login(ctx, in.Body.Email, in.Body.Password, in.UserAgent)
	identity.SetQuotas(ctx, quotas)
	return s.answer(ctx, grant, err)
}

func (s sessions) renew(ctx context.Context, in *cookieInput) (*sessionOutput, error) {
	grant, err := s.users.Refresh(ctx, in.Token, in.UserAgent)
	return s.answer(ctx, grant, err)
}

func (s sessions) answer(ctx context.Context, grant identity.Grant, err error) (*sessionOutput, error) {
	if err != nil {
		return nil, err
	}
	last, err := s.events.Latest(ctx)
	if err != nil {
		return nil, err
	}
	out := &sessionOutput{SetCookie: s.cookie(grant.RefreshToken, identity.SessionTTL)}
	out.Body.AccessToken, out.Body.ExpiresIn = grant.AccessToken, int(grant.ExpiresIn/time.Second)
	out.Body.User, out.Body.LastEventID = identity.ViewUser(grant.User), last.String()
	return out, nil
}

func (s sessions) delete(ctx context.Context, in *cookieInput) (*signOutOutput, error) {
	if err := s.users.EndSessionOf(ctx, in.Token); err != nil {
		return nil, err
	}
	return &signOutOutput{s.cookie("", -time.Second)}, nil
}

// cookie is the Set-Cookie header (RFC 6265) of a refresh token.
func (s sessions) cookie(token string, lifetime time.Duration) string {
	return (&http.Cookie{ //nolint:gosec // Secure is not possible where browsers come by http
		Name: cookieName, Value: token, Path: sessionPath, MaxAge: int(lifetime / time.Second),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteStrictMode,
	}).String()
}

package identity

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

type tokenInput struct {
	Authorization string `header:"Authorization" hidden:"true"`
	Body          struct {
		GrantType    string `json:"grant_type,omitempty" doc:"client_credentials"`
		Scope        string `json:"scope,omitempty" doc:"The scopes that the token is to have, separated by spaces; without it all of the notification service that the key has."`
		ClientID     string `json:"client_id,omitempty" doc:"The id of the key, where HTTP Basic is not used."`
		ClientSecret string `json:"client_secret,omitempty" doc:"The key, where HTTP Basic is not used."`
	}
}

type tokenOutput struct {
	Body struct {
		AccessToken string `json:"access_token" doc:"A JWT (RFC 9068) for the notification service."`
		TokenType   string `json:"token_type" enum:"Bearer"`
		ExpiresIn   int    `json:"expires_in" doc:"Seconds until it expires."`
		Scope       string `json:"scope" doc:"Its scopes, separated by spaces."`
	}
}

const tokenDescription = "The client credentials grant of RFC 6749, section 4.4. A client authenticates by HTTP Basic with the id of the key as user and the key as password, " +
	"or by `client_id` and `client_secret` in the form, not both. The token is valid for ten minutes, and its `sub` is the id of the key. " +
	"The owner of the key must be an admin. Revoking the key ends the exchange at once, and its tokens within ten minutes. " +
	"Errors are problems as everywhere; their member `error` has the code of RFC 6749, section 5.2."

func registerToken(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/token", ID: "create-token", Tag: tagAuth, Status: http.StatusOK, Public: true, TokenEndpoint: true, Secret: true,
		Summary: "Exchange an API key for a token of the notification service", Description: tokenDescription,
		Errors: []string{errs.CodeInvalidCredentials, errs.CodeForbidden, errs.CodeInvalidScope, errs.CodeUnsupportedGrantType},
	}, func(ctx context.Context, in *tokenInput) (*tokenOutput, error) {
		switch in.Body.GrantType {
		case "client_credentials":
		case "":
			return nil, errNoGrantType
		default:
			return nil, errGrantType
		}
		id, secret, err := in.client()
		if err != nil {
			return nil, err
		}
		token, err := s.ExchangeKey(ctx, id, secret, in.Body.Scope)
		if err != nil {
			return nil, err
		}
		out := &tokenOutput{}
		out.Body.AccessToken, out.Body.TokenType = token.AccessToken, "Bearer"
		out.Body.ExpiresIn, out.Body.Scope = seconds(token.ExpiresIn), strings.Join(token.Scopes, " ")
		return out, nil
	})
}

var (
	errNoGrantType = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "grant_type is required.")
	errGrantType   = errs.New(errs.BadRequest, errs.CodeUnsupportedGrantType, "The only grant_type is client_credentials.")
	errTwoMethods  = errs.New(errs.BadRequest, errs.CodeMalformedRequest, "A client authenticates by HTTP Basic or in the form, not both.")
)

// client returns id and secret of the client (RFC 6749, section 2.3.1). In HTTP
// Basic each has the encoding of a form.
func (in *tokenInput) client() (id, secret string, err error) {
	if in.Authorization == "" {
		return in.Body.ClientID, in.Body.ClientSecret, nil
	}
	if in.Body.ClientSecret != "" {
		return "", "", errTwoMethods
	}
	r := http.Request{Header: http.Header{"Authorization": {in.Authorization}}}
	user, password, ok := r.BasicAuth()
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	if !ok || err1 != nil || err2 != nil || in.Body.ClientID != "" && in.Body.ClientID != id {
		return "", "", errClient
	}
	return id, secret, nil
}

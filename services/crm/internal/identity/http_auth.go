package identity

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

const tagAuth = "auth"

type registerInput struct {
	Body struct {
		Name     string `json:"name" minLength:"1" maxLength:"200" doc:"How others see you."`
		Email    string `json:"email" minLength:"3" maxLength:"254" doc:"Your address; upper and lower case are the same."`
		Password string `json:"password" minLength:"8" maxLength:"128" doc:"8 to 128 characters, not a common one."`
		Role     Role   `json:"role,omitempty" default:"customer" doc:"A customer is approved at once, the others wait for an admin's approval."`
	}
}

type loginInput struct {
	UserAgent string `header:"User-Agent"`
	Body      struct {
		Email    string `json:"email" minLength:"1" maxLength:"254" doc:"The address of the account."`
		Password string `json:"password" minLength:"1" maxLength:"128" doc:"The password of the account."`
	}
}

type refreshInput struct {
	UserAgent string `header:"User-Agent"`
	Body      struct {
		RefreshToken string `json:"refresh_token" minLength:"1" maxLength:"200" doc:"From the last sign-in or refresh."`
	}
}

type grantOutput struct{ Body tokenGrantBody }

type tokenGrantBody struct {
	AccessToken  string   `json:"access_token" doc:"A JWT (RFC 9068) for the Authorization header."`
	TokenType    string   `json:"token_type" enum:"Bearer" doc:"How the access token is sent."`
	ExpiresIn    int      `json:"expires_in" doc:"Seconds until the access token expires."`
	RefreshToken string   `json:"refresh_token" doc:"Valid for one refresh."`
	User         UserBody `json:"user" doc:"Who has signed in."`
}

func answerGrant(g Grant, err error) (*grantOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &grantOutput{}
	out.Body.AccessToken, out.Body.TokenType, out.Body.ExpiresIn = g.AccessToken, "Bearer", seconds(g.ExpiresIn)
	out.Body.RefreshToken, out.Body.User = g.RefreshToken, ViewUser(g.User)
	return out, nil
}

func registerAuth(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/register", ID: "register", Tag: tagAuth, Status: http.StatusCreated, Public: true,
		Summary:        "Register an account",
		Description:    "A customer may sign in at once. An engineer or admin may sign in after an admin has approved the registration, and is mailed the decision.",
		RequestExample: exampleRegister, Example: exampleAda,
		Errors: []string{errs.CodeEmailTaken, errs.CodeRateLimited},
	}, func(ctx context.Context, in *registerInput) (*struct{ Body UserBody }, error) {
		u, quotas, err := s.Register(ctx, NewUser{Name: in.Body.Name, Email: in.Body.Email, Password: in.Body.Password, Role: in.Body.Role})
		SetQuotas(ctx, quotas)
		if err != nil {
			return nil, err
		}
		return &struct{ Body UserBody }{ViewUser(u)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/login", ID: "login", Tag: tagAuth, Status: http.StatusOK, Public: true, Secret: true,
		Summary:        "Sign in with address and password",
		Description:    "Starts a session of 24 hours. The access token is valid for 10 minutes; the refresh token gets the next pair. A wrong password and an unknown address are answered alike. After 5 wrong passwords in 15 minutes further attempts are refused with rate_limited.",
		RequestExample: exampleLogin, Example: exampleGrant,
		Errors: []string{
			errs.CodeInvalidCredentials, errs.CodeAccountPending, errs.CodeAccountRejected, errs.CodeAccountSuspended, errs.CodeRateLimited,
		},
	}, func(ctx context.Context, in *loginInput) (*grantOutput, error) {
		grant, quotas, err := s.Login(ctx, in.Body.Email, in.Body.Password, in.UserAgent)
		SetQuotas(ctx, quotas)
		return answerGrant(grant, err)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/refresh", ID: "refresh", Tag: tagAuth, Status: http.StatusOK, Public: true, Secret: true,
		Summary:        "Spend a refresh token for the next pair of tokens",
		Description:    "Spending a token a second time ends its session, except within 10 seconds while its successor is unused: then the answer is the same successor.",
		RequestExample: exampleRefresh, Example: exampleGrant,
		Errors: []string{errs.CodeInvalidToken},
	}, func(ctx context.Context, in *refreshInput) (*grantOutput, error) {
		return answerGrant(s.Refresh(ctx, in.Body.RefreshToken, in.UserAgent))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/logout", ID: "logout", Tag: tagAuth, Status: http.StatusNoContent, Allow: anyRole,
		Summary:     "End this session; its tokens are refused at once",
		Description: "Other sessions of the user go on.",
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		return nil, s.Logout(ctx, PrincipalFrom(ctx))
	})
}

type jwksOutput struct{ Body keySetBody }

type keySetBody struct {
	Keys []map[string]string `json:"keys" doc:"JSON Web Keys (RFC 7517)."`
}

func registerKeys(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/.well-known/jwks.json", ID: "get-jwks", Tag: tagAuth, Public: true, Resource: true,
		Summary:     "The public keys that verify access tokens",
		Description: "A JSON Web Key Set (RFC 7517) with the current, the next and the previous key, so that a rotation interrupts nobody.",
		Example:     exampleKeySet,
	}, func(context.Context, *struct{}) (*jwksOutput, error) {
		data, err := s.Keys().JWKS()
		if err != nil {
			return nil, err
		}
		out := &jwksOutput{}
		if err := json.Unmarshal(data, &out.Body); err != nil {
			return nil, fmt.Errorf("read the JWKS: %w", err)
		}
		return out, nil
	})
}

type verifyInput struct {
	Body struct {
		Token string `json:"token" minLength:"1" maxLength:"200" doc:"From the mail."`
	}
}

func registerVerification(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/verify", ID: "verify-email", Tag: tagAuth, Status: http.StatusNoContent, Public: true,
		Summary:     "Verify an address with the token that was mailed to it",
		Description: "The token can be used once.", RequestExample: exampleToken,
		Errors: []string{errs.CodeInvalidToken},
	}, func(ctx context.Context, in *verifyInput) (*struct{}, error) {
		return nil, s.VerifyEmail(ctx, in.Body.Token)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/verify/resend", ID: "resend-verification", Tag: tagAuth, Status: http.StatusAccepted, Allow: anyRole,
		Summary:     "Ask for another mail that verifies one's address",
		Description: "At most 3 an hour. Nothing is sent to an address that is verified.",
		Errors:      []string{errs.CodeRateLimited},
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		quotas, err := s.ResendVerification(ctx, PrincipalFrom(ctx))
		SetQuotas(ctx, quotas)
		return nil, err
	})
}

type forgotInput struct {
	Body struct {
		Email string `json:"email" minLength:"1" maxLength:"254" doc:"The address of the account."`
	}
}

type resetInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the mail."`
		Password string `json:"password" minLength:"8" maxLength:"128" doc:"8 to 128 characters, not a common one."`
	}
}

func registerPassword(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/password/forgot", ID: "forgot-password", Tag: tagAuth, Status: http.StatusAccepted, Public: true,
		Summary:        "Ask for a mail with a token to set a new password",
		Description:    "The answer is the same for an address without an account. The token is valid for 10 minutes and can be used once. An account gets at most 3 mails an hour by requests of one network, and 5 in 5 minutes by those of all.",
		RequestExample: exampleForgot,
	}, func(ctx context.Context, in *forgotInput) (*struct{}, error) {
		return nil, s.ForgotPassword(ctx, in.Body.Email)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/password/reset", ID: "reset-password", Tag: tagAuth, Status: http.StatusNoContent, Public: true,
		Summary:     "Set a new password with the token from the mail; all sessions end",
		Description: "The token can be used once. The person gets a mail about it.", RequestExample: exampleReset,
		Errors: []string{errs.CodeInvalidToken},
	}, func(ctx context.Context, in *resetInput) (*struct{}, error) {
		return nil, s.ResetPassword(ctx, in.Body.Token, in.Body.Password)
	})
}

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
		Name     string `json:"name" minLength:"1" maxLength:"200"`
		Email    string `json:"email" minLength:"3" maxLength:"254"`
		Password string `json:"password" minLength:"8" maxLength:"128" doc:"8 to 128 characters, not a common one."`
		Role     Role   `json:"role,omitempty" default:"customer" doc:"A customer is approved at once, the others wait for an admin's approval."`
	}
}

type loginInput struct {
	UserAgent string `header:"User-Agent"`
	Body      struct {
		Email    string `json:"email" minLength:"1" maxLength:"254"`
		Password string `json:"password" minLength:"1" maxLength:"128"`
	}
}

type refreshInput struct {
	UserAgent string `header:"User-Agent"`
	Body      struct {
		RefreshToken string `json:"refresh_token" minLength:"1" maxLength:"200"`
	}
}

type grantOutput struct{ Body tokenGrantBody }

type tokenGrantBody struct {
	AccessToken  string   `json:"access_token" doc:"A JWT (RFC 9068) for the Authorization header."`
	TokenType    string   `json:"token_type" enum:"Bearer"`
	ExpiresIn    int      `json:"expires_in" doc:"Seconds until the access token expires."`
	RefreshToken string   `json:"refresh_token" doc:"Valid for one refresh."`
	User         UserBody `json:"user"`
}

func answerGrant(g Grant, err error) (*grantOutput, error) {
	if err != nil {
		return nil, err
	}
	out := &grantOutput{}
	out.Body.AccessToken, out.Body.TokenType, out.Body.ExpiresIn = g.AccessToken, "Bearer", seconds(g.ExpiresIn)
	out.Body.RefreshToken, out.Body.User = g.RefreshToken, viewUser(g.User)
	return out, nil
}

func registerAuth(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/register", ID: "register", Tag: tagAuth, Status: http.StatusCreated, Public: true,
		Summary: "Register an account",
		Errors:  []string{errs.CodeEmailTaken, errs.CodeRateLimited},
	}, func(ctx context.Context, in *registerInput) (*struct{ Body UserBody }, error) {
		u, quotas, err := s.Register(ctx, NewUser{Name: in.Body.Name, Email: in.Body.Email, Password: in.Body.Password, Role: in.Body.Role})
		setQuotas(ctx, quotas)
		if err != nil {
			return nil, err
		}
		return &struct{ Body UserBody }{viewUser(u)}, nil
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/login", ID: "login", Tag: tagAuth, Status: http.StatusOK, Public: true,
		Summary: "Sign in with address and password",
		Errors: []string{
			errs.CodeInvalidCredentials, errs.CodeAccountPending, errs.CodeAccountRejected, errs.CodeAccountSuspended, errs.CodeRateLimited,
		},
	}, func(ctx context.Context, in *loginInput) (*grantOutput, error) {
		grant, quotas, err := s.Login(ctx, in.Body.Email, in.Body.Password, in.UserAgent)
		setQuotas(ctx, quotas)
		return answerGrant(grant, err)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/refresh", ID: "refresh", Tag: tagAuth, Status: http.StatusOK, Public: true,
		Summary:     "Spend a refresh token for the next pair of tokens",
		Description: "Spending a token a second time ends its session, except within 10 seconds while its successor is unused: then the answer is the same successor.",
		Errors:      []string{errs.CodeInvalidToken},
	}, func(ctx context.Context, in *refreshInput) (*grantOutput, error) {
		return answerGrant(s.Refresh(ctx, in.Body.RefreshToken, in.UserAgent))
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/logout", ID: "logout", Tag: tagAuth, Status: http.StatusNoContent, Allow: anyRole,
		Summary: "End this session; its tokens are refused at once",
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
		Method: http.MethodGet, Path: "/.well-known/jwks.json", ID: "get-jwks", Tag: tagAuth, Public: true,
		Summary: "The public keys that verify access tokens",
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
		Summary: "Verify an address with the token that was mailed to it",
		Errors:  []string{errs.CodeInvalidToken},
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
		setQuotas(ctx, quotas)
		return nil, err
	})
}

type forgotInput struct {
	Body struct {
		Email string `json:"email" minLength:"1" maxLength:"254"`
	}
}

type resetInput struct {
	Body struct {
		Token    string `json:"token" minLength:"1" maxLength:"200" doc:"From the mail."`
		Password string `json:"password" minLength:"8" maxLength:"128"`
	}
}

func registerPassword(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/password/forgot", ID: "forgot-password", Tag: tagAuth, Status: http.StatusAccepted, Public: true,
		Summary: "Ask for a mail with a token to set a new password",
	}, func(ctx context.Context, in *forgotInput) (*struct{}, error) {
		return nil, s.ForgotPassword(ctx, in.Body.Email)
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/auth/password/reset", ID: "reset-password", Tag: tagAuth, Status: http.StatusNoContent, Public: true,
		Summary: "Set a new password with the token from the mail; all sessions end",
		Errors:  []string{errs.CodeInvalidToken},
	}, func(ctx context.Context, in *resetInput) (*struct{}, error) {
		return nil, s.ResetPassword(ctx, in.Body.Token, in.Body.Password)
	})
}

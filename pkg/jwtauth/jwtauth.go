// Package jwtauth signs and verifies the access tokens of both services: JWTs
// (RFC 7519) of the profile at+jwt (RFC 9068), signed with Ed25519 (RFC 8037).
// It owns the signing keys' file, their rotation and the JWKS. It must not
// know users, roles or sessions: the caller reads from the database, on each
// request, whether the session is open.
package jwtauth

import (
	"fmt"
	"strings"
	"time"

	"fixdesk/pkg/errs"

	"github.com/golang-jwt/jwt/v5"
)

// ErrInvalid is in the chain of every refusal. As an *errs.Error it is answered
// 401 invalid_token; the reason in the chain is for the log.
var ErrInvalid error = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The token is not valid.")

// Claims are the claims of a token.
type Claims struct {
	Issuer, Subject, Audience string
	SessionID                 string // sid: "" for a service token
	ID                        string // jti
	Scope                     []string
	IssuedAt, ExpiresAt       time.Time // whole seconds
}

// HasScope reports whether the token has the scope s.
func (c Claims) HasScope(s string) bool {
	for _, have := range c.Scope {
		if have == s {
			return true
		}
	}
	return false
}

const (
	tokenType = "at+jwt"
	algorithm = "EdDSA"
)

// wireClaims are Claims in JSON. Times are whole seconds: the library's own
// type also takes text. Scope is a space-separated list (RFC 8693, section 4.2).
type wireClaims struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jwt.ClaimStrings `json:"aud"`
	ID        string           `json:"jti"`
	SessionID string           `json:"sid,omitempty"`
	Scope     string           `json:"scope,omitempty"`
	IssuedAt  *int64           `json:"iat"`
	NotBefore *int64           `json:"nbf,omitempty"`
	ExpiresAt *int64           `json:"exp"`
}

// The methods of jwt.Claims.

func (c wireClaims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.ExpiresAt), nil }
func (c wireClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c wireClaims) GetNotBefore() (*jwt.NumericDate, error)      { return date(c.NotBefore), nil }
func (c wireClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c wireClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c wireClaims) GetAudience() (jwt.ClaimStrings, error)       { return c.Audience, nil }

func date(seconds *int64) *jwt.NumericDate {
	if seconds == nil {
		return nil
	}
	return &jwt.NumericDate{Time: time.Unix(*seconds, 0)}
}

// Signer signs tokens with the current key.
type Signer struct{ keys func() *KeySet }

// NewSigner makes a signer that calls keys for the key set at each signature.
func NewSigner(keys func() *KeySet) *Signer { return &Signer{keys} }

// Sign makes a token. Everything but SessionID and Scope is required.
func (s *Signer) Sign(c Claims) (string, error) {
	if c.Issuer == "" || c.Subject == "" || c.Audience == "" || c.ID == "" || !c.ExpiresAt.After(c.IssuedAt) {
		return "", fmt.Errorf("sign a token: a required claim is missing")
	}
	key := s.keys().current
	issued, expires := c.IssuedAt.Unix(), c.ExpiresAt.Unix()
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, wireClaims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: jwt.ClaimStrings{c.Audience}, ID: c.ID,
		SessionID: c.SessionID, Scope: strings.Join(c.Scope, " "),
		IssuedAt: &issued, ExpiresAt: &expires,
	})
	t.Header["typ"], t.Header["kid"] = tokenType, key.id
	token, err := t.SignedString(key.private)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return token, nil
}

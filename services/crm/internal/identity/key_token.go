package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/notifyapi"
)

var (
	errClient        = errs.New(errs.Unauthenticated, errs.CodeInvalidCredentials, "The key is unknown, revoked or expired, or it does not belong to the client id.")
	errClientRole    = errs.New(errs.Forbidden, errs.CodeForbidden, "The owner of this key is no longer an admin.")
	errTokenScope    = errs.New(errs.BadRequest, errs.CodeInvalidScope, "The key does not have this scope, or it is not one of the notification service.")
	errTokenNoScopes = errs.New(errs.BadRequest, errs.CodeInvalidScope, "The key has no scope of the notification service.")
)

// KeyToken is an access token for the notification service (RFC 6749, section
// 5.1).
type KeyToken struct {
	AccessToken string
	ExpiresIn   time.Duration
	Scopes      []string
}

// ExchangeKey makes a token of ten minutes for the notification service from an
// API key, by the client credentials grant (RFC 6749, section 4.4). Its subject is
// the id of the key. clientID may be empty, else it must be that id; scope lists
// scopes separated by spaces, and an empty one means all that the key has. The
// errors are errs.CodeInvalidCredentials, errs.CodeInvalidScope, and
// errs.CodeForbidden outside the key's networks and when its owner is no admin.
func (s *Service) ExchangeKey(ctx context.Context, clientID, secret, scope string) (KeyToken, error) {
	p, key, err := s.readKey(ctx, secret)
	if errs.HasCode(err, errs.CodeInvalidToken) {
		return KeyToken{}, errClient.Because(err)
	}
	if err != nil {
		return KeyToken{}, err
	}
	if clientID != "" && clientID != p.KeyID.String() {
		return KeyToken{}, errClient.Because(errors.New("the client id is of another key"))
	}
	if err := s.admitKey(ctx, p, key); err != nil {
		return KeyToken{}, err
	}
	if p.Role != RoleAdmin {
		refused := audit{kind: auditRefused, actor: p.UserID, object: p.KeyID, after: map[string]Role{"role": p.Role}}
		return KeyToken{}, s.refuse(ctx, p.KeyID, refused, errClientRole)
	}
	scopes, err := tokenScopes(key.Scopes, scope)
	if err != nil {
		return KeyToken{}, err
	}
	now := s.now()
	token, err := s.Signer.Sign(jwtauth.Claims{
		Issuer: s.Issuer, Subject: p.KeyID.String(), Audience: notifyapi.Audience, ID: newID().String(),
		Scope: scopes, IssuedAt: now, ExpiresAt: now.Add(accessTTL),
	})
	if err != nil {
		return KeyToken{}, fmt.Errorf("exchange key: %w", err)
	}
	return KeyToken{AccessToken: token, ExpiresIn: accessTTL, Scopes: scopes}, nil
}

// tokenScopes returns the scopes of a token: those that are wanted, if the key has
// them, or all of the notification service that it has.
func tokenScopes(held []string, wanted string) ([]string, error) {
	allowed := []string{}
	for _, scope := range toText(notificationScopes) {
		if slices.Contains(held, scope) {
			allowed = append(allowed, scope)
		}
	}
	if len(allowed) == 0 {
		return nil, errTokenNoScopes
	}
	scopes := strings.Fields(wanted)
	if len(scopes) == 0 {
		return allowed, nil
	}
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	for _, scope := range scopes {
		if !slices.Contains(allowed, scope) {
			return nil, errTokenScope
		}
	}
	return scopes, nil
}

package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/crmdb"
)

// URLAudience is the aud of the tokens in signed URLs, which are no access tokens.
const URLAudience = "crm-url"

// keyScope marks a token whose sid is the id of an API key.
const keyScope = "key"

// SignURL returns the signature with which the path of a URL can be requested
// without a token, as p, for the given time. It ends earlier with p's session or
// key.
func (s *Service) SignURL(p Principal, path string, lifetime time.Duration) (string, error) {
	now := s.now()
	c := jwtauth.Claims{
		Issuer: s.Issuer, Subject: p.UserID.String(), Audience: URLAudience, SessionID: p.SessionID.String(), ID: path,
		IssuedAt: now, ExpiresAt: now.Add(lifetime),
	}
	if p.KeyID != uuid.Nil {
		c.SessionID, c.Scope = p.KeyID.String(), []string{keyScope}
	}
	signature, err := s.Signer.Sign(c)
	if err != nil {
		return "", fmt.Errorf("sign a URL: %w", err)
	}
	return signature, nil
}

// AuthenticateURL is Authenticate for a request of the path with a signature of
// SignURL. Session or key, role and status are read from the database as for a
// token, and a key needs the scope and the network.
func (s *Service) AuthenticateURL(ctx context.Context, path, signature string, allow []string, scope string) (context.Context, error) {
	claims, err := s.URLVerifier.Verify(signature)
	if err != nil {
		return nil, fmt.Errorf("verify a signed URL: %w", err)
	}
	if claims.ID != path {
		return nil, errInvalidToken.Because(errors.New("the signature is of another path"))
	}
	userID, err1 := uuid.Parse(claims.Subject)
	id, err2 := uuid.Parse(claims.SessionID)
	if err := errors.Join(err1, err2); err != nil {
		return nil, errInvalidToken.Because(errors.New("sub or sid is no id"))
	}
	read := s.urlSession
	if claims.HasScope(keyScope) {
		read = s.urlKey
	}
	p, err := read(ctx, userID, id, scope)
	if err != nil {
		return nil, err
	}
	ctx = WithPrincipal(ctx, p)
	if !slices.Contains(allow, string(p.Role)) {
		return ctx, errForbidden
	}
	return ctx, nil
}

func (s *Service) urlSession(ctx context.Context, userID, sessionID uuid.UUID, _ string) (Principal, error) {
	row, err := s.principalOf(ctx, sessionID, userID)
	if err != nil {
		return Principal{}, err
	}
	return Principal{UserID: row.ID, SessionID: sessionID, Name: row.Name, Email: row.Email, Role: Role(row.Role), Unverified: s.SendVerification && !row.Verified}, nil
}

func (s *Service) urlKey(ctx context.Context, userID, keyID uuid.UUID, scope string) (Principal, error) {
	row, err := s.q.KeyOwner(ctx, crmdb.KeyOwnerParams{ID: keyID, UserID: userID, Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (!slices.Contains(row.Scopes, scope) || !inNetworks(row.Networks, obs.Client(ctx))) {
		return Principal{}, errInvalidToken
	}
	if err != nil {
		return Principal{}, fmt.Errorf("read key: %w", err)
	}
	return Principal{UserID: row.ID, KeyID: keyID, Name: row.Name, Email: row.Email, Role: Role(row.Role), Unverified: s.SendVerification && !row.Verified}, nil
}

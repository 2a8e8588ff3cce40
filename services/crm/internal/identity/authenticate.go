package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
)

type principalKey struct{}

// PrincipalFrom returns the authenticated user of the request. It panics where
// Authenticate was not called, so that an unprotected route fails at once.
func PrincipalFrom(ctx context.Context) Principal { return ctx.Value(principalKey{}).(Principal) }

// WithPrincipal returns a context whose authenticated user is p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Authenticate verifies the token's signature and claims, then reads session,
// user, role and status from the database, so that an admin's decision holds on
// the very next request on every replica. Instead of a token it takes an API key,
// which needs the scope; without a scope no key is enough. It fails with
// errs.CodeInvalidToken, and with errs.CodeForbidden for a role that is not in
// allow, and for a key that lacks the scope or is used outside its networks; in
// these cases the context has the principal too.
func (s *Service) Authenticate(ctx context.Context, bearer string, allow []string, scope string) (context.Context, error) {
	if isKey(bearer) {
		return s.authenticateKey(ctx, bearer, allow, scope)
	}
	claims, err := s.Verifier.Verify(bearer)
	if err != nil {
		return nil, fmt.Errorf("verify access token: %w", err)
	}
	userID, err1 := uuid.Parse(claims.Subject)
	sessionID, err2 := uuid.Parse(claims.SessionID)
	if err := errors.Join(err1, err2); err != nil {
		return nil, errInvalidToken.Because(errors.New("sub or sid is no id"))
	}
	if s.Verified != nil {
		s.Verified(ctx)
	}
	row, err := s.principalOf(ctx, sessionID, userID)
	if err != nil {
		return nil, err
	}
	p := Principal{UserID: row.ID, SessionID: sessionID, Name: row.Name, Email: row.Email, Role: Role(row.Role), Unverified: s.SendVerification && !row.Verified}
	ctx = WithPrincipal(ctx, p)
	if !slices.Contains(allow, string(p.Role)) {
		refused := audit{kind: auditRefused, actor: p.UserID, after: map[string]Role{"role": p.Role}}
		return ctx, s.refuse(ctx, p.UserID, refused, errForbidden)
	}
	return ctx, nil
}

// principalOf returns the user of a valid session, as they are after the call; the
// error is errs.CodeInvalidToken when it is no longer valid or another user's.
func (s *Service) principalOf(ctx context.Context, session, user uuid.UUID) (*crmdb.SessionPrincipalsRow, error) {
	row, found, err := s.principals.Get(ctx, session)
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	if !found || row.ID != user {
		return nil, errInvalidToken
	}
	return row, nil
}

// readPrincipals reads the users of those sessions that are valid.
func (s *Service) readPrincipals(ctx context.Context, db pg.DBTX, sessions []uuid.UUID) (map[uuid.UUID]*crmdb.SessionPrincipalsRow, error) {
	rows, err := crmdb.New(db).SessionPrincipals(ctx, crmdb.SessionPrincipalsParams{SessionIds: sessions, Now: s.now()})
	if err != nil {
		return nil, err
	}
	found := make(map[uuid.UUID]*crmdb.SessionPrincipalsRow, len(rows))
	for i := range rows {
		found[rows[i].SessionID] = &rows[i]
	}
	return found, nil
}

// refuse records a refused request of a user or key, at most a few times a minute
// for each, so that nobody can fill the audit, and returns the refusal.
func (s *Service) refuse(ctx context.Context, who uuid.UUID, a audit, refusal error) error {
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		if _, ok, err := refusalsRecorded.hit(ctx, q, who.String(), now); err != nil || !ok {
			return err
		}
		return record(ctx, q, now, a)
	})
	if err != nil {
		return fmt.Errorf("record a refusal: %w", err)
	}
	return refusal
}

// Check decides whether p may continue a long request, for example a stream: nil
// while the session or key is valid, the user approved and the role the same;
// errs.CodeInvalidToken or errs.CodeForbidden otherwise.
func (s *Service) Check(ctx context.Context, p Principal) error {
	if p.KeyID != uuid.Nil {
		return s.checkKey(ctx, p)
	}
	row, err := s.principalOf(ctx, p.SessionID, p.UserID)
	if err != nil {
		return err
	}
	if Role(row.Role) != p.Role {
		return errForbidden
	}
	return nil
}

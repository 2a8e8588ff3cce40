package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

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
// the very next request on every replica. It fails with errs.CodeInvalidToken,
// and with errs.CodeForbidden for a role that is not in allow; in the second case
// the context has the principal too.
func (s *Service) Authenticate(ctx context.Context, bearer string, allow []string, _ string) (context.Context, error) {
	claims, err := s.Verifier.Verify(bearer)
	if err != nil {
		return nil, fmt.Errorf("verify access token: %w", err)
	}
	userID, err1 := uuid.Parse(claims.Subject)
	sessionID, err2 := uuid.Parse(claims.SessionID)
	if err := errors.Join(err1, err2); err != nil {
		return nil, errInvalidToken.Because(errors.New("sub or sid is no id"))
	}
	row, err := s.q.SessionPrincipal(ctx, crmdb.SessionPrincipalParams{ID: sessionID, UserID: userID, Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errInvalidToken
	}
	if err != nil {
		return nil, fmt.Errorf("read session: %w", err)
	}
	p := Principal{UserID: row.ID, SessionID: sessionID, Name: row.Name, Email: row.Email, Role: Role(row.Role)}
	ctx = WithPrincipal(ctx, p)
	if !slices.Contains(allow, string(p.Role)) {
		return ctx, s.refuse(ctx, p)
	}
	return ctx, nil
}

// refuse records a refused role, at most a few times a minute for each user, so
// that nobody can fill the audit.
func (s *Service) refuse(ctx context.Context, p Principal) error {
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		if _, ok, err := refusalsRecorded.hit(ctx, q, p.UserID.String(), now); err != nil || !ok {
			return err
		}
		return record(ctx, q, now, audit{kind: auditRefused, actor: p.UserID, after: map[string]Role{"role": p.Role}})
	})
	if err != nil {
		return fmt.Errorf("record a refusal: %w", err)
	}
	return errForbidden
}

// Check decides whether p may continue a long request, for example a stream: nil
// while the session is valid, the user approved and the role the same;
// errs.CodeInvalidToken or errs.CodeForbidden otherwise.
func (s *Service) Check(ctx context.Context, p Principal) error {
	row, err := s.q.SessionPrincipal(ctx, crmdb.SessionPrincipalParams{ID: p.SessionID, UserID: p.UserID, Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return errInvalidToken
	}
	if err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	if Role(row.Role) != p.Role {
		return errForbidden
	}
	return nil
}

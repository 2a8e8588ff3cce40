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

// PrincipalFrom gives who makes the request. It must be called behind
// Authenticate alone; it panics elsewhere, so that a route without a door can't
// go unnoticed.
func PrincipalFrom(ctx context.Context) Principal { return ctx.Value(principalKey{}).(Principal) }

// WithPrincipal returns a context in which p makes the request.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Authenticate is the door: the token's signature and claims, then session,
// user, role and status as the database has them now, so that an admin's
// decision holds on the very next request on every replica.
// errs.CodeInvalidToken for who isn't let in, errs.CodeForbidden for a role
// that isn't in allow, with the principal in the context all the same.
func (s *Service) Authenticate(ctx context.Context, bearer string, allow []string) (context.Context, error) {
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

// refuse records that somebody tried what their role may not, a few times a
// minute for each user: more would let them fill the audit.
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

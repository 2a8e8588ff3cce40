package identity

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmdb"
)

// Refresh spends a refresh token and returns the next one with a new access token.
// A spent token that is presented again within 10 seconds, while its successor is
// unused, comes from a client that lost the answer and gets the same successor
// again. Presented later, the token may be stolen, and the session ends (RFC 9700,
// section 4.14.2). Every refusal is errs.CodeInvalidToken.
func (s *Service) Refresh(ctx context.Context, token, userAgent string) (Grant, error) {
	presented, err := parseSecret(token)
	if err != nil {
		return Grant{}, errInvalidToken.Because(err)
	}
	var grant Grant
	var refusal error
	err = s.inTx(ctx, func(q *crmdb.Queries) (err error) {
		grant, refusal, err = s.rotate(ctx, q, presented, userAgent)
		return err
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return Grant{}, fmt.Errorf("refresh: %w", err)
	}
	return grant, nil
}

// rotate returns a refusal separately from the error, since the end of the session
// after a reuse must be committed.
func (s *Service) rotate(ctx context.Context, q *crmdb.Queries, presented secret, userAgent string) (_ Grant, refusal, err error) {
	now := s.now()
	stored, err := q.RefreshTokenLock(ctx, presented.hash())
	if errors.Is(err, pgx.ErrNoRows) {
		return Grant{}, errInvalidToken, nil
	}
	if err != nil {
		return Grant{}, nil, fmt.Errorf("lock token: %w", err)
	}
	session, err := q.SessionWithUser(ctx, stored.SessionID)
	if err != nil {
		return Grant{}, nil, fmt.Errorf("read session: %w", err)
	}
	if session.RevokedAt != nil || !now.Before(session.ExpiresAt) || Status(session.Status) != StatusApproved {
		return Grant{}, errInvalidToken, nil
	}
	next, reused, err := successor(ctx, q, presented, stored, now)
	if err != nil {
		return Grant{}, nil, err
	}
	if reused {
		return Grant{}, errInvalidToken.Because(errors.New("refresh token reused, session ended")), endReused(ctx, q, session.UserID, stored.SessionID, now)
	}
	if err := q.SessionUse(ctx, crmdb.SessionUseParams{
		ID: stored.SessionID, Now: now, Address: clientOf(ctx), UserAgent: cleanUserAgent(userAgent),
	}); err != nil {
		return Grant{}, nil, fmt.Errorf("mark session used: %w", err)
	}
	u := User{
		ID: session.UserID, Name: session.Name, Email: session.Email, Role: Role(session.Role), Status: Status(session.Status),
		Version: session.Version, EmailVerifiedAt: session.EmailVerifiedAt, CreatedAt: session.CreatedAt, UpdatedAt: session.UpdatedAt,
	}
	grant, err := s.grant(u, stored.SessionID, session.ExpiresAt, next, now)
	return grant, nil, err
}

// successor spends the presented token, or returns the successor of one that was
// spent within refreshGrace.
func successor(ctx context.Context, q *crmdb.Queries, presented secret, stored crmdb.RefreshTokenLockRow, now time.Time) (next secret, reused bool, err error) {
	if stored.SpentAt != nil {
		if now.Sub(*stored.SpentAt) > refreshGrace {
			return secret{}, true, nil
		}
		if next, err = presented.open(stored.SuccessorSealed); err != nil {
			return secret{}, false, err
		}
		used, err := q.RefreshTokenIsSpent(ctx, next.hash())
		if err != nil {
			return secret{}, false, fmt.Errorf("read the successor: %w", err)
		}
		return next, used, nil
	}
	next = newSecret()
	sealed, err := presented.seal(next)
	if err != nil {
		return secret{}, false, err
	}
	if err := q.RefreshTokenSpend(ctx, crmdb.RefreshTokenSpendParams{
		TokenHash: presented.hash(), SuccessorSealed: sealed, Now: now,
	}); err != nil {
		return secret{}, false, fmt.Errorf("spend token: %w", err)
	}
	if err := q.RefreshTokenInsert(ctx, crmdb.RefreshTokenInsertParams{
		TokenHash: next.hash(), SessionID: stored.SessionID, Now: now,
	}); err != nil {
		return secret{}, false, fmt.Errorf("store successor: %w", err)
	}
	return next, false, nil
}

func endReused(ctx context.Context, q *crmdb.Queries, userID, sessionID uuid.UUID, now time.Time) error {
	if _, err := q.SessionRevoke(ctx, crmdb.SessionRevokeParams{ID: sessionID, UserID: userID, Now: now}); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return record(ctx, q, now, audit{kind: auditRefreshReused, actor: userID, object: sessionID})
}

// Session is a valid session of a user.
type Session struct {
	ID                           uuid.UUID
	CreatedAt, UsedAt, ExpiresAt time.Time // UsedAt: signed in or refreshed
	Address                      *netip.Addr
	UserAgent                    string
}

// Sessions lists a user's sessions, newest first, at most n after the given
// position.
func (s *Service) Sessions(ctx context.Context, userID uuid.UUID, after *Position, n int) ([]Session, error) {
	at, id := after.args()
	rows, err := s.q.SessionList(ctx, crmdb.SessionListParams{
		UserID: userID, Now: s.now(), BeforeAt: at, BeforeID: id, MaxRows: int32(n),
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	sessions := make([]Session, 0, len(rows))
	for _, r := range rows {
		sessions = append(sessions, Session(r))
	}
	return sessions, nil
}

// EndSessions ends all sessions of a user, for an admin. errs.CodeNotFound where
// there is no such user.
func (s *Service) EndSessions(ctx context.Context, actor Principal, userID uuid.UUID) error {
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		if _, err := lockUser(ctx, q, userID); err != nil {
			return err
		}
		now := s.now()
		if err := q.SessionRevokeAll(ctx, crmdb.SessionRevokeAllParams{UserID: userID, Now: now}); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		return record(ctx, q, now, audit{kind: auditSessionsEnded, actor: actor.UserID, object: userID})
	})
	if err != nil {
		return fmt.Errorf("end sessions of a user: %w", err)
	}
	return nil
}

// Logout ends the session of the request; its tokens are refused at once, on every
// replica.
func (s *Service) Logout(ctx context.Context, p Principal) error {
	err := s.endSession(ctx, p, p.SessionID, auditLoggedOut)
	if errs.HasCode(err, errs.CodeNotFound) { // ended by another request
		return nil
	}
	return err
}

// EndSessionOf ends the session of a refresh token. It does nothing where no session
// has the token.
func (s *Service) EndSessionOf(ctx context.Context, token string) error {
	presented, err := parseSecret(token)
	if err != nil {
		return nil //nolint:nilerr // no session has it
	}
	session, err := s.q.SessionOfRefreshToken(ctx, presented.hash())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the session of a token: %w", err)
	}
	return s.Logout(ctx, Principal{UserID: session.UserID, SessionID: session.ID})
}

// EndSession ends one of the user's own sessions; the error is errs.CodeNotFound
// for any other.
func (s *Service) EndSession(ctx context.Context, p Principal, id uuid.UUID) error {
	return s.endSession(ctx, p, id, auditSessionEnded)
}

func (s *Service) endSession(ctx context.Context, p Principal, id uuid.UUID, auditKind string) error {
	return s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		n, err := q.SessionRevoke(ctx, crmdb.SessionRevokeParams{ID: id, UserID: p.UserID, Now: now})
		if err != nil {
			return fmt.Errorf("end session: %w", err)
		}
		if n == 0 {
			return errs.Missing()
		}
		return record(ctx, q, now, audit{kind: auditKind, actor: p.UserID, object: id})
	})
}

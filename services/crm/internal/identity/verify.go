package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/ratelimit"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// VerifyEmail marks an address as verified with the token that was mailed to it,
// once within 24 hours, and voids the user's other verification tokens. The error
// is errs.CodeInvalidToken for a token that is unknown, used or expired, or whose
// address is no longer the user's.
func (s *Service) VerifyEmail(ctx context.Context, token string) error {
	presented, err := parseSecret(token)
	if err != nil {
		return errVerifyToken.Because(err)
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		used, err := q.EmailVerificationUse(ctx, crmdb.EmailVerificationUseParams{TokenHash: presented.hash(), Now: now})
		if errors.Is(err, pgx.ErrNoRows) {
			return errVerifyToken
		}
		if err != nil {
			return fmt.Errorf("use token: %w", err)
		}
		verified, err := markVerified(ctx, q, used.UserID, used.Email, now)
		if err == nil && !verified {
			return errVerifyToken
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("verify address: %w", err)
	}
	return nil
}

// markVerified returns false when the address is not the user's or is already
// verified.
func markVerified(ctx context.Context, q *crmdb.Queries, userID uuid.UUID, email string, now time.Time) (bool, error) {
	n, err := q.UserVerifyEmail(ctx, crmdb.UserVerifyEmailParams{ID: userID, Email: email, Now: now})
	if err != nil {
		return false, fmt.Errorf("mark the address verified: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	if err := q.EmailVerificationVoidAll(ctx, crmdb.EmailVerificationVoidAllParams{UserID: userID, Now: now}); err != nil {
		return false, fmt.Errorf("void other tokens: %w", err)
	}
	return true, record(ctx, q, now, audit{kind: auditVerified, actor: userID, object: userID})
}

// ResendVerification mails another token to the caller's address, unless it is
// verified. The error is errs.CodeRateLimited beyond 3 mails an hour to one
// address and 100 for one client network.
func (s *Service) ResendVerification(ctx context.Context, p Principal) ([]Quota, error) {
	var quotas []Quota
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		u, err := lockUser(ctx, q, p.UserID)
		if err != nil || u.EmailVerifiedAt != nil {
			return err
		}
		refusal, err := sendVerification(ctx, q, u, s.now(), &quotas)
		if err != nil {
			return err
		}
		return refusal
	})
	if err != nil {
		return quotas, fmt.Errorf("resend verification: %w", err)
	}
	s.Wake()
	return quotas, nil
}

// verifyNew mails a token to an address that is new to the service, if
// verification is required and no limit is reached.
func (s *Service) verifyNew(ctx context.Context, q *crmdb.Queries, u User, now time.Time) error {
	if !s.SendVerification || u.EmailVerifiedAt != nil {
		return nil
	}
	var quotas []Quota
	_, err := sendVerification(ctx, q, u, now, &quotas)
	return err
}

// sendVerification writes the mail, or returns a refusal when a limit is reached.
func sendVerification(ctx context.Context, q *crmdb.Queries, u User, now time.Time, quotas *[]Quota) (refusal, err error) {
	for _, s := range []subject{
		{verificationPerNetwork, ratelimit.Network(obs.Client(ctx))},
		{verificationPerAddress, u.Email},
	} {
		quota, ok, err := s.hit(ctx, q, s.who, now)
		if err != nil {
			return nil, err
		}
		*quotas = append(*quotas, quota.at(now))
		if !ok {
			return quota.refusal(now), nil
		}
	}
	token := newSecret()
	if err := q.EmailVerificationInsert(ctx, crmdb.EmailVerificationInsertParams{
		TokenHash: token.hash(), UserID: u.ID, Email: u.Email, Now: now, ExpiresAt: now.Add(verificationTTL),
	}); err != nil {
		return nil, fmt.Errorf("store token: %w", err)
	}
	return nil, outbox.Add(ctx, q, now, u.ID, notice.EmailVerification{
		To: person(u), Token: token.text(), ValidHours: int(verificationTTL / time.Hour),
	})
}

// ConfirmAddress marks a person's address as verified, since they have shown to read
// mail there. It runs in the caller's transaction and changes nothing when the
// address is verified, or no longer the person's.
func ConfirmAddress(ctx context.Context, q *crmdb.Queries, user uuid.UUID, email string, now time.Time) error {
	_, err := markVerified(ctx, q, user, email, now)
	return err
}

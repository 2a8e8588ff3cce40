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

// ForgotPassword mails a token of 10 minutes to a known address, at most 3 times
// an hour for one client network and 5 times in 5 minutes for all. Neither its
// answer nor its duration depends on whether a mail is sent. Each token stays
// valid until it expires or one of them is used.
func (s *Service) ForgotPassword(ctx context.Context, email string) error {
	least := time.NewTimer(s.minForgotTime)
	defer least.Stop()
	if err := s.sendReset(ctx, normalAddress(email)); err != nil {
		return fmt.Errorf("forgot password: %w", err)
	}
	select {
	case <-least.C:
	case <-ctx.Done():
	}
	return nil
}

func (s *Service) sendReset(ctx context.Context, email string) error {
	now := s.now()
	from := ratelimit.Network(obs.Client(ctx))
	for _, limited := range []subject{
		{forgotPerAddress, from}, {resetPerAccount, email + "\n" + from}, {resetPerMailbox, email},
	} {
		if _, ok, err := limited.hit(ctx, s.q, limited.who, now); err != nil || !ok {
			return err
		}
	}
	row, err := s.q.UserByEmail(ctx, email)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the address: %w", err)
	}
	token := newSecret()
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		if err := q.PasswordResetInsert(ctx, crmdb.PasswordResetInsertParams{
			TokenHash: token.hash(), UserID: row.ID, Now: now, ExpiresAt: now.Add(resetTTL),
		}); err != nil {
			return fmt.Errorf("store token: %w", err)
		}
		if err := outbox.Add(ctx, q, now, row.ID, notice.PasswordReset{
			To:    notice.Person{ID: row.ID, Name: row.Name, Email: row.Email},
			Token: token.text(), ValidMinutes: int(resetTTL / time.Minute),
		}); err != nil {
			return err
		}
		return record(ctx, q, now, audit{kind: auditResetRequested, object: row.ID})
	})
	if err == nil {
		s.Wake()
	}
	return err
}

// ResetPassword sets a new password with a token from the mail, once. All
// sessions and all other tokens of the user end, and the address is verified,
// since the token was read there. The person is notified of the change of an earlier
// password. errs.CodeInvalidToken for a token that is unknown, used or expired.
func (s *Service) ResetPassword(ctx context.Context, token, password string) error {
	presented, err := parseSecret(token)
	if err != nil {
		return errResetToken.Because(err)
	}
	owner, err := s.q.PasswordResetOwner(ctx, crmdb.PasswordResetOwnerParams{TokenHash: presented.hash(), Now: s.now()})
	if errors.Is(err, pgx.ErrNoRows) {
		return errResetToken
	}
	if err != nil {
		return fmt.Errorf("look for the reset token: %w", err)
	}
	if err := checkPassword(password, owner.Name, owner.Email); err != nil {
		return invalid("body.password", err)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		if err := loginPerAccount.reset(ctx, q, owner.Email); err != nil {
			return err
		}
		userID, err := q.PasswordResetUse(ctx, crmdb.PasswordResetUseParams{TokenHash: presented.hash(), Now: now})
		if errors.Is(err, pgx.ErrNoRows) {
			return errResetToken
		}
		if err != nil {
			return fmt.Errorf("use token: %w", err)
		}
		if _, err := markVerified(ctx, q, userID, owner.Email, now); err != nil {
			return err
		}
		if owner.HasPassword {
			to := notice.Person{ID: owner.ID, Name: owner.Name, Email: owner.Email}
			if err := notifyOfPassword(ctx, q, to, now); err != nil {
				return err
			}
		}
		return setPassword(ctx, q, userID, hash, now)
	})
	if err != nil {
		return fmt.Errorf("reset password: %w", err)
	}
	s.Wake()
	return nil
}

func setPassword(ctx context.Context, q *crmdb.Queries, userID uuid.UUID, hash string, now time.Time) error {
	if err := q.UserSetPassword(ctx, crmdb.UserSetPasswordParams{ID: userID, PasswordHash: &hash, Now: now}); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	if err := q.PasswordResetVoidAll(ctx, crmdb.PasswordResetVoidAllParams{UserID: userID, Now: now}); err != nil {
		return fmt.Errorf("void other tokens: %w", err)
	}
	if err := q.SessionRevokeAll(ctx, crmdb.SessionRevokeAllParams{UserID: userID, Now: now}); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return record(ctx, q, now, audit{kind: auditReset, actor: userID, object: userID})
}

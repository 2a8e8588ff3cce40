package identity

import (
	"context"
	"fmt"
	"time"

	"fixdesk/pkg/address"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// invitationTTL is how long an invited person has to set a password; after
// that, ForgotPassword mails another token.
const invitationTTL = 7 * 24 * time.Hour

// Invite makes an approved account without a password and mails a token by which
// the person sets one with ResetPassword. errs.CodeEmailTaken where the address
// has an account.
func (s *Service) Invite(ctx context.Context, actor Principal, n NewUser) (User, error) {
	var wrong fieldErrors
	name, err := cleanName(n.Name)
	wrong.add("body.name", err)
	email, err := address.Parse(n.Email)
	wrong.add("body.email", err)
	if err := wrong.asError(); err != nil {
		return User{}, err
	}
	now := s.now()
	u := User{
		ID: newID(), Name: name, Email: email, Role: n.Role, Status: StatusApproved,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		if err := insertUser(ctx, q, u, nil, actor.UserID, auditInvited); err != nil {
			return err
		}
		if u.Role == RoleEngineer {
			if err := assignment.Join(ctx, q, u.ID); err != nil {
				return err
			}
		}
		return mailInvitation(ctx, q, u, now)
	})
	if pg.IsUnique(err, "users_email_key") {
		return User{}, errEmailTaken
	}
	if err != nil {
		return User{}, fmt.Errorf("invite user: %w", err)
	}
	s.Wake()
	return u, nil
}

func mailInvitation(ctx context.Context, q *crmdb.Queries, u User, now time.Time) error {
	token := newSecret()
	if err := q.PasswordResetInsert(ctx, crmdb.PasswordResetInsertParams{
		TokenHash: token.hash(), UserID: u.ID, Now: now, ExpiresAt: now.Add(invitationTTL),
	}); err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return outbox.Add(ctx, q, now, u.ID, notice.Invitation{
		To: person(u), Role: string(u.Role), Token: token.text(), ValidDays: int(invitationTTL / (24 * time.Hour)),
	})
}

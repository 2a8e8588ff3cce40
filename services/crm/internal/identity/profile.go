package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/ratelimit"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// Profile is the user's own profile. Available is nil unless they are an
// engineer.
type Profile struct {
	User
	Available *bool
}

// Me returns the caller's own profile.
func (s *Service) Me(ctx context.Context, p Principal) (Profile, error) {
	return profile(ctx, s.q, p)
}

func profile(ctx context.Context, q *crmdb.Queries, p Principal) (Profile, error) {
	row, err := q.UserGet(ctx, p.UserID)
	if err != nil {
		return Profile{}, fmt.Errorf("read user: %w", err)
	}
	own := Profile{User: userOf(row)}
	if own.isApproved(RoleEngineer) {
		engineer, err := q.EngineerGet(ctx, p.UserID)
		if errors.Is(err, pgx.ErrNoRows) { // suspended since the user was read
			return own, nil
		}
		if err != nil {
			return Profile{}, fmt.Errorf("read engineer: %w", err)
		}
		own.Available = &engineer.Available
	}
	return own, nil
}

// ProfileChange is a change of one's own profile; nil keeps a field.
type ProfileChange struct {
	Name      *string
	Available *bool // for engineers
	HandOver  bool  // with Available false: the active tickets are assigned to others
}

var (
	errNotEngineer = errors.New("is for engineers alone")
	errHandOver    = errors.New("is allowed only with available false")
)

// ChangeMe changes the caller's own profile.
func (s *Service) ChangeMe(ctx context.Context, p Principal, c ProfileChange) (Profile, error) {
	if c.HandOver && (c.Available == nil || *c.Available) {
		return Profile{}, invalid("body.hand_over", errHandOver)
	}
	change, err := Change{Name: c.Name}.clean()
	if err != nil {
		return Profile{}, err
	}
	var own Profile
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		before, err := lockUser(ctx, q, p.UserID)
		if err != nil {
			return err
		}
		after, err := before.apply(change)
		if err != nil {
			return explain(err)
		}
		if after != before {
			d := userChange{actor: p, before: before, after: after, auditKind: auditUserChanged}
			if _, err := s.writeChange(ctx, q, d); err != nil {
				return err
			}
		}
		if err := s.setAvailable(ctx, q, before, c.Available, c.HandOver); err != nil {
			return err
		}
		own, err = profile(ctx, q, p)
		return err
	})
	if err != nil {
		return Profile{}, fmt.Errorf("change profile: %w", err)
	}
	s.Wake()
	return own, nil
}

// ChangePassword sets a new password, given the current one. All other sessions
// end, tokens for a reset are void, and the person is notified. A wrong current
// password counts as a failed login. It returns the login quotas, also with an
// error.
func (s *Service) ChangePassword(ctx context.Context, p Principal, current, next string) ([]Quota, error) {
	if err := checkPassword(next, p.Name, p.Email); err != nil {
		return nil, invalid("body.new_password", err)
	}
	limits := &loginLimits{account: p.Email, network: ratelimit.Network(obs.Client(ctx))}
	err := s.changePassword(ctx, limits, p, current, next)
	return limits.quotas, err
}

func (s *Service) changePassword(ctx context.Context, limits *loginLimits, p Principal, current, next string) error {
	if err := limits.check(ctx, s.q, s.now()); err != nil {
		return err
	}
	row, err := s.q.UserByEmail(ctx, p.Email)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	ok, err := s.checkCurrent(ctx, current, row.PasswordHash)
	if err != nil {
		return err
	}
	if !ok {
		err := s.countFailure(ctx, limits, p.UserID)
		if errors.Is(err, errCredentials) {
			return errCurrentPassword
		}
		return err
	}
	hash, err := s.hasher.hash(ctx, next)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		now := s.now()
		if err := limits.succeed(ctx, q, now); err != nil {
			return err
		}
		n, err := q.UserChangePassword(ctx, crmdb.UserChangePasswordParams{ID: p.UserID, NewHash: &hash, OldHash: row.PasswordHash, Now: now})
		if err != nil {
			return fmt.Errorf("set password: %w", err)
		}
		if n == 0 { // changed by another request meanwhile
			return errCurrentPassword
		}
		return endOthers(ctx, q, p, now)
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	s.Wake()
	return nil
}

func endOthers(ctx context.Context, q *crmdb.Queries, p Principal, now time.Time) error {
	if err := q.SessionRevokeAll(ctx, crmdb.SessionRevokeAllParams{UserID: p.UserID, ExceptID: p.SessionID, Now: now}); err != nil {
		return fmt.Errorf("end other sessions: %w", err)
	}
	if err := q.PasswordResetVoidAll(ctx, crmdb.PasswordResetVoidAllParams{UserID: p.UserID, Now: now}); err != nil {
		return fmt.Errorf("void reset tokens: %w", err)
	}
	if err := notifyOfPassword(ctx, q, notice.Person{ID: p.UserID, Name: p.Name, Email: p.Email}, now); err != nil {
		return err
	}
	return record(ctx, q, now, audit{kind: auditPasswordSet, actor: p.UserID, object: p.UserID})
}

func notifyOfPassword(ctx context.Context, q *crmdb.Queries, to notice.Person, now time.Time) error {
	return outbox.Add(ctx, q, now, to.ID, notice.AccountChanged{To: to, Event: notice.PasswordChanged})
}

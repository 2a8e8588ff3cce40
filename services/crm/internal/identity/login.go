package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/jwtauth"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/ratelimit"
	"fixdesk/services/crm/internal/crmdb"
)

// Grant is the result of a login or a refresh.
type Grant struct {
	AccessToken  string
	ExpiresIn    time.Duration
	RefreshToken string
	User         User
}

// Login checks address and password and opens a session of 24 hours. A wrong
// password and an unknown address get the same errs.CodeInvalidCredentials in
// the same time. Only the right password gets the error of an account that is not
// approved. Login returns its quotas also with an error.
func (s *Service) Login(ctx context.Context, email, password, userAgent string) (Grant, []Quota, error) {
	email = normalAddress(email)
	limits := &loginLimits{account: email, network: ratelimit.Network(obs.Client(ctx))}
	g, err := s.login(ctx, limits, email, password, userAgent)
	return g, limits.quotas, err
}

func (s *Service) login(ctx context.Context, limits *loginLimits, email, password, userAgent string) (Grant, error) {
	if err := limits.check(ctx, s.q, s.now()); err != nil {
		return Grant{}, err
	}
	row, err := s.q.UserByEmail(ctx, email)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return Grant{}, fmt.Errorf("look for the address: %w", err)
	}
	ok, err := s.checkCurrent(ctx, password, row.PasswordHash)
	if err != nil {
		return Grant{}, err
	}
	if !ok {
		return Grant{}, s.countFailure(ctx, limits, row.ID)
	}
	return s.openSession(ctx, limits, row, userAgent)
}

// checkCurrent compares a password with the stored hash. It refuses an account
// without a password and an unknown address (nil) after the same time.
func (s *Service) checkCurrent(ctx context.Context, password string, hash *string) (bool, error) {
	if hash == nil {
		_, err := s.hasher.verify(ctx, password, s.hasher.dummy)
		return false, err
	}
	return s.hasher.verify(ctx, password, *hash)
}

// normalAddress is the form in which an address is stored. An invalid address is
// returned in lower case; no account has it.
func normalAddress(email string) string {
	if normal, err := address.Parse(email); err == nil {
		return normal
	}
	return fold(email)
}

// countFailure counts and records a wrong password or an unknown address.
func (s *Service) countFailure(ctx context.Context, limits *loginLimits, userID uuid.UUID) error {
	var refusal error
	err := s.inTx(ctx, func(q *crmdb.Queries) (err error) {
		now := s.now()
		if refusal, err = limits.fail(ctx, q, now); err != nil || refusal != nil {
			return err
		}
		return record(ctx, q, now, audit{kind: auditLoginFailed, object: userID})
	})
	switch {
	case err != nil:
		return fmt.Errorf("count a wrong password: %w", err)
	case refusal != nil:
		return refusal
	}
	return errCredentials
}

// openSession opens a session after a right password, unless the limits were
// reached or the password changed while it was being checked.
func (s *Service) openSession(ctx context.Context, limits *loginLimits, row crmdb.UserByEmailRow, userAgent string) (Grant, error) {
	now := s.now()
	u := User{
		ID: row.ID, Name: row.Name, Email: row.Email, Role: Role(row.Role), Status: Status(row.Status),
		Version: row.Version, EmailVerifiedAt: row.EmailVerifiedAt, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	sessionID, refresh := newID(), newSecret()
	grant, err := s.grant(u, sessionID, now.Add(SessionTTL), refresh, now)
	if err != nil {
		return Grant{}, err
	}
	var refusal error
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		if err := limits.succeed(ctx, q, now); err != nil {
			return err
		}
		current, err := q.UserCredentials(ctx, u.ID)
		if err != nil {
			return fmt.Errorf("read credentials: %w", err)
		}
		if current.PasswordHash == nil || *current.PasswordHash != *row.PasswordHash {
			return errCredentials
		}
		if refusal = refuseStatus(Status(current.Status), row.Reason); refusal != nil {
			return record(ctx, q, now, audit{kind: auditLoginRefused, object: u.ID, after: stateOf(u)})
		}
		return insertSession(ctx, q, u.ID, sessionID, refresh, userAgent, now)
	})
	if err == nil {
		err = refusal
	}
	if err != nil {
		return Grant{}, fmt.Errorf("open session: %w", err)
	}
	return grant, nil
}

// refuseStatus is the error for the right password of an account that is not
// approved; nil for an approved one.
func refuseStatus(status Status, reason *string) error {
	switch status {
	case StatusPending:
		return errs.New(errs.Forbidden, errs.CodeAccountPending, "Your registration waits for an admin's approval.")
	case StatusRejected:
		message := "Your registration was rejected."
		if reason != nil {
			message += " Reason: " + *reason
		}
		return errs.New(errs.Forbidden, errs.CodeAccountRejected, message)
	case StatusSuspended:
		return errs.New(errs.Forbidden, errs.CodeAccountSuspended, "Your account is suspended.")
	}
	return nil
}

func insertSession(ctx context.Context, q *crmdb.Queries, userID, id uuid.UUID, refresh secret, userAgent string, now time.Time) error {
	if err := q.SessionInsert(ctx, crmdb.SessionInsertParams{
		ID: id, UserID: userID, Now: now, ExpiresAt: now.Add(SessionTTL), Address: clientOf(ctx), UserAgent: cleanUserAgent(userAgent),
	}); err != nil {
		return err
	}
	if err := q.RefreshTokenInsert(ctx, crmdb.RefreshTokenInsertParams{TokenHash: refresh.hash(), SessionID: id, Now: now}); err != nil {
		return err
	}
	return record(ctx, q, now, audit{kind: auditLoginSucceeded, actor: userID, object: id})
}

// grant signs an access token (RFC 9068) that expires with its session at the
// latest.
func (s *Service) grant(u User, sessionID uuid.UUID, sessionEnds time.Time, refresh secret, now time.Time) (Grant, error) {
	expires := now.Add(accessTTL)
	if sessionEnds.Before(expires) {
		expires = sessionEnds
	}
	token, err := s.Signer.Sign(jwtauth.Claims{
		Issuer: s.Issuer, Subject: u.ID.String(), Audience: Audience, SessionID: sessionID.String(),
		ID: uuid.NewString(), IssuedAt: now, ExpiresAt: expires,
	})
	if err != nil {
		return Grant{}, fmt.Errorf("sign access token: %w", err)
	}
	return Grant{AccessToken: token, ExpiresIn: expires.Sub(now), RefreshToken: refresh.text(), User: u}, nil
}

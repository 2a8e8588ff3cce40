package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/address"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/pg"
	"fixdesk/pkg/ratelimit"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// NewUser is the input of a registration.
type NewUser struct {
	Name, Email, Password string
	Role                  Role
}

// clean returns the user as it is stored, or an error with every invalid field.
func (n NewUser) clean() (NewUser, error) {
	var wrong fieldErrors
	name, err := cleanName(n.Name)
	wrong.add("body.name", err)
	email, err := address.Parse(n.Email)
	wrong.add("body.email", err)
	wrong.add("body.password", checkPassword(n.Password, name, email))
	return NewUser{Name: name, Email: email, Password: n.Password, Role: n.Role}, wrong.asError()
}

// Register creates an account: approved at once for a customer, pending for an
// engineer or admin, of which the approved admins are notified. Of concurrent
// registrations of one address one succeeds, the others get errs.CodeEmailTaken.
// It returns the quota of the client's network also with an error.
func (s *Service) Register(ctx context.Context, n NewUser) (User, []Quota, error) {
	n, err := n.clean()
	if err != nil {
		return User{}, nil, err
	}
	now := s.now()
	quota, ok, err := registerPerAddress.hit(ctx, s.q, ratelimit.Network(obs.Client(ctx)), now)
	if err != nil {
		return User{}, nil, err
	}
	quotas := []Quota{quota.at(now)}
	if !ok {
		return User{}, quotas, quota.refusal(now)
	}
	u := User{
		ID: newID(), Name: n.Name, Email: n.Email, Role: n.Role, Status: initialStatus(n.Role),
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.create(ctx, u, n.Password, auditRegistered); err != nil {
		return User{}, quotas, err
	}
	return u, quotas, nil
}

// CreateAdmin creates an approved admin, for the command line and the first start.
// The address counts as verified. The error is errs.CodeEmailTaken when it has an
// account.
func (s *Service) CreateAdmin(ctx context.Context, email, password, name string) (User, error) {
	n, err := NewUser{Name: name, Email: email, Password: password, Role: RoleAdmin}.clean()
	if e := errs.As(err); e != nil { // a command line has no body
		var all []error
		for _, f := range e.Fields {
			all = append(all, fmt.Errorf("the admin's %s %s", strings.TrimPrefix(f.Location, "body."), f.Message))
		}
		return User{}, errors.Join(all...)
	}
	now := s.now()
	u := User{
		ID: newID(), Name: n.Name, Email: n.Email, Role: RoleAdmin, Status: StatusApproved,
		Version: 1, EmailVerifiedAt: &now, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.create(ctx, u, password, auditAdminCreated); err != nil {
		return User{}, err
	}
	return u, nil
}

// EnsureAdmin creates the first admin. When the address has an account, it changes
// nothing and created is false. Replicas may call it at the same time.
func (s *Service) EnsureAdmin(ctx context.Context, email, password, name string) (created bool, err error) {
	if normal, err := address.Parse(email); err == nil {
		if _, err := s.q.UserByEmail(ctx, normal); err == nil {
			return false, nil
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return false, fmt.Errorf("look for the first admin: %w", err)
		}
	}
	_, err = s.CreateAdmin(ctx, email, password, name)
	if errors.Is(err, errEmailTaken) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) create(ctx context.Context, u User, password, auditKind string) error {
	// These checks avoid needless hashes, also when many register one address at once
	// and wait for the first; the constraint decides.
	free := func() error {
		_, err := s.q.UserByEmail(ctx, u.Email)
		if err == nil {
			return errEmailTaken
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("look for the address: %w", err)
		}
		return nil
	}
	if err := free(); err != nil {
		return err
	}
	hash, err := s.hasher.hashIf(ctx, password, free)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
		if err := insertUser(ctx, q, u, &hash, uuid.Nil, auditKind); err != nil {
			return err
		}
		return s.verifyNew(ctx, q, u, u.CreatedAt)
	})
	if pg.IsUnique(err, "users_email_key") {
		return errEmailTaken
	}
	if err != nil {
		return fmt.Errorf("create user: %w", err)
	}
	s.Wake()
	return nil
}

func insertUser(ctx context.Context, q *crmdb.Queries, u User, hash *string, actor uuid.UUID, auditKind string) error {
	if err := q.UserInsert(ctx, crmdb.UserInsertParams{
		ID: u.ID, Name: u.Name, Email: u.Email, Search: searchText(u.Name, u.Email), PasswordHash: hash,
		EmailVerifiedAt: u.EmailVerifiedAt,
		Role:            crmdb.UserRole(u.Role), Status: crmdb.UserStatus(u.Status), Now: u.CreatedAt,
	}); err != nil {
		return err
	}
	if u.Status == StatusPending {
		if err := q.RegistrationInsert(ctx, crmdb.RegistrationInsertParams{UserID: u.ID, Now: u.CreatedAt}); err != nil {
			return err
		}
		if err := notifyAdmins(ctx, q, u, u.CreatedAt); err != nil {
			return err
		}
	}
	return record(ctx, q, u.CreatedAt, audit{kind: auditKind, actor: actor, object: u.ID, after: stateOf(u)})
}

func notifyAdmins(ctx context.Context, q *crmdb.Queries, applicant User, now time.Time) error {
	admins, err := q.AdminList(ctx)
	if err != nil {
		return fmt.Errorf("list admins: %w", err)
	}
	for _, a := range admins { // one notice each, since each may unsubscribe
		if err := outbox.Add(ctx, q, now, applicant.ID, notice.RegistrationWaiting{
			To: []notice.Person{{ID: a.ID, Name: a.Name, Email: a.Email}}, Applicant: person(applicant), Role: string(applicant.Role),
		}); err != nil {
			return err
		}
	}
	return nil
}

func person(u User) notice.Person { return notice.Person{ID: u.ID, Name: u.Name, Email: u.Email} }

func userOf(r crmdb.UserGetRow) User {
	return User{
		ID: r.ID, Name: r.Name, Email: r.Email, Role: Role(r.Role), Status: Status(r.Status),
		Version: r.Version, EmailVerifiedAt: r.EmailVerifiedAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// idOrNil is nil for the nil id.
func idOrNil(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

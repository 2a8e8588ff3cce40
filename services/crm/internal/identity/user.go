package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// UserFilter narrows the list of users; zero values don't. Q is looked for in
// names and addresses, literally and without case.
type UserFilter struct {
	Role   Role
	Status Status
	Q      string
}

func (f UserFilter) args() (*crmdb.UserRole, *crmdb.UserStatus) {
	var role *crmdb.UserRole
	var status *crmdb.UserStatus
	if f.Role != "" {
		role = (*crmdb.UserRole)(&f.Role)
	}
	if f.Status != "" {
		status = (*crmdb.UserStatus)(&f.Status)
	}
	return role, status
}

// Users lists users, newest first, at most n after the given position.
func (s *Service) Users(ctx context.Context, f UserFilter, after *Position, n int) ([]User, error) {
	at, id := after.args()
	role, status := f.args()
	rows, err := s.q.UserList(ctx, crmdb.UserListParams{
		Role: role, Status: status, Q: fold(strings.TrimSpace(f.Q)), BeforeAt: at, BeforeID: id, MaxRows: int32(n),
	})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	users := make([]User, 0, len(rows))
	for _, r := range rows {
		users = append(users, userOf(crmdb.UserGetRow(r)))
	}
	return users, nil
}

// User gives one user; errs.CodeNotFound if there is none.
func (s *Service) User(ctx context.Context, id uuid.UUID) (User, error) {
	row, err := s.q.UserGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, errs.Missing()
	}
	if err != nil {
		return User{}, fmt.Errorf("read user: %w", err)
	}
	return userOf(row), nil
}

// ChangeUser is an admin's change of a user's role, status or name. It holds
// from the user's very next request. errs.CodeVersionMismatch where allows
// doesn't want the user's present version changed; errs.CodeLastAdmin rather
// than leave no approved admin; errs.CodeInvalidTransition for a step of status
// that the rules don't have.
func (s *Service) ChangeUser(ctx context.Context, actor Principal, id uuid.UUID, c Change, allows func(version int32) bool) (User, error) {
	var after User
	err := s.inTx(ctx, func(q *crmdb.Queries) error {
		before, err := lockUser(ctx, q, id)
		if err != nil {
			return err
		}
		if !allows(before.Version) {
			return errs.VersionMismatch()
		}
		if after, err = before.apply(c); err != nil {
			return explain(err)
		}
		if after == before {
			return nil
		}
		after, err = s.writeChange(ctx, q, decision{actor: actor, before: before, after: after, auditKind: auditUserChanged})
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("change user: %w", err)
	}
	s.Wake()
	return after, nil
}

func lockUser(ctx context.Context, q *crmdb.Queries, id uuid.UUID) (User, error) {
	row, err := q.UserLock(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return User{}, errs.Missing()
	}
	if err != nil {
		return User{}, fmt.Errorf("lock user: %w", err)
	}
	return userOf(crmdb.UserGetRow(row)), nil
}

// explain says what the rules refused in the words of the API.
func explain(err error) error {
	var step errStep
	if errors.As(err, &step) {
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, step.Error())
	}
	return invalid("body.name", err)
}

// decision is a change of a user on its way into the database.
type decision struct {
	actor         Principal
	before, after User
	reason        string
	auditKind     string
}

// writeChange writes a user's change with all that follows from it: sessions of
// who is no longer let in end, the assignment learns who can act, the applicant
// is told, the audit has it. The caller holds the user's row lock.
func (s *Service) writeChange(ctx context.Context, q *crmdb.Queries, d decision) (User, error) {
	if loses(d.before, d.after, RoleAdmin) {
		if err := keepAnAdmin(ctx, q, d.before.ID); err != nil {
			return User{}, err
		}
	}
	now := s.now()
	u := d.after
	if err := q.UserUpdate(ctx, crmdb.UserUpdateParams{
		ID: u.ID, Name: u.Name, Search: searchText(u.Name, u.Email),
		Role: crmdb.UserRole(u.Role), Status: crmdb.UserStatus(u.Status), Now: now,
	}); err != nil {
		return User{}, fmt.Errorf("update user: %w", err)
	}
	u.Version, u.UpdatedAt = d.before.Version+1, now
	if d.before.Status == StatusApproved && u.Status != StatusApproved {
		if _, err := q.SessionRevokeAll(ctx, crmdb.SessionRevokeAllParams{UserID: u.ID, Now: now}); err != nil {
			return User{}, fmt.Errorf("end sessions: %w", err)
		}
	}
	if err := moveEngineer(ctx, q, d); err != nil {
		return User{}, err
	}
	if isDecision(d.before, u) {
		if err := answerRegistration(ctx, q, d, now); err != nil {
			return User{}, err
		}
	}
	state := stateOf(u)
	state.Reason = d.reason
	return u, record(ctx, q, now, audit{
		kind: d.auditKind, actor: d.actor.UserID, object: u.ID, before: stateOf(d.before), after: state,
	})
}

// keepAnAdmin refuses to take away the last approved admin. Whoever takes one
// away does so alone, so two who demote each other can't both succeed.
func keepAnAdmin(ctx context.Context, q *crmdb.Queries, id uuid.UUID) error {
	if err := q.AdminChangesLock(ctx); err != nil {
		return fmt.Errorf("lock changes of admins: %w", err)
	}
	others, err := q.AdminExistsBesides(ctx, id)
	if err != nil {
		return fmt.Errorf("look for another admin: %w", err)
	}
	if !others {
		return errLastAdmin
	}
	return nil
}

func moveEngineer(ctx context.Context, q *crmdb.Queries, d decision) error {
	switch {
	case gains(d.before, d.after, RoleEngineer):
		return assignment.Join(ctx, q, d.after.ID)
	case loses(d.before, d.after, RoleEngineer):
		return assignment.Leave(ctx, q, d.after.ID, d.actor.UserID)
	}
	return nil
}

// answerRegistration keeps who decided, when and why, and tells the applicant;
// nothing for a user who never had to register for approval.
func answerRegistration(ctx context.Context, q *crmdb.Queries, d decision, now time.Time) error {
	var reason *string
	if d.reason != "" {
		reason = &d.reason
	}
	n, err := q.RegistrationDecide(ctx, crmdb.RegistrationDecideParams{
		UserID: d.after.ID, DecidedBy: d.actor.UserID, Now: now, Reason: reason,
	})
	if err != nil {
		return fmt.Errorf("decide registration: %w", err)
	}
	if n == 0 {
		return nil
	}
	return outbox.Add(ctx, q, now, d.after.ID, notice.RegistrationDecided{
		To: person(d.after), Approved: d.after.Status == StatusApproved, Role: string(d.after.Role), Reason: d.reason,
	})
}

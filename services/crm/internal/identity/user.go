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
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

// UserFilter selects users; a zero field selects all. Q is searched in names and
// addresses, literally and without case.
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
	params := crmdb.UserListParams{
		Role: role, Status: status, Pattern: pattern(f.Q), BeforeAt: at, BeforeID: id, MaxRows: int32(n),
	}
	rows, err := s.listUsers(ctx, params)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	users := make([]User, 0, len(rows))
	for _, r := range rows {
		users = append(users, userOf(crmdb.UserGetRow(r)))
	}
	return users, nil
}

// listUsers plans each search for its own text: a rare one is found by the trigram
// index, a common one by reading the newest users. A generic plan reads all users
// for a rare text.
func (s *Service) listUsers(ctx context.Context, params crmdb.UserListParams) (rows []crmdb.UserListRow, err error) {
	if params.Pattern == "" {
		return s.q.UserList(ctx, params)
	}
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		rows, err = crmdb.New(tx).UserList(ctx, params)
		return err
	})
	return rows, err
}

// pattern is the LIKE pattern that finds q anywhere, literally; "" for no text. It
// finds an address, or a domain after an @, in any spelling.
func pattern(q string) string {
	q = fold(strings.TrimSpace(q))
	if q == "" {
		return ""
	}
	if canonical, err := address.Parse(q); err == nil {
		q = canonical
	} else if canonical, err := address.Parse("x" + q); err == nil {
		q = strings.TrimPrefix(canonical, "x")
	}
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(q) + "%"
}

// User returns one user; errs.CodeNotFound if there is none.
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

var errReasonAlone = errors.New("is allowed only with status rejected or suspended")

// clean returns the change as it is stored, or an error with every invalid field.
func (c Change) clean() (Change, error) {
	var wrong fieldErrors
	if c.Name != nil {
		name, err := cleanName(*c.Name)
		wrong.add("body.name", err)
		c.Name = &name
	}
	if c.Email != nil {
		email, err := address.Parse(*c.Email)
		wrong.add("body.email", err)
		c.Email = &email
	}
	reason, err := cleanReason(c.Reason)
	if reason != "" && (c.Status == nil || *c.Status != StatusRejected && *c.Status != StatusSuspended) {
		err = errReasonAlone
	}
	wrong.add("body.reason", err)
	c.Reason = reason
	return c, wrong.asError()
}

// ChangeUser makes an admin's change of a user, which holds from the user's next
// request. The errors are errs.CodeVersionMismatch when allows refuses the user's
// present version, errs.CodeLastAdmin when no approved admin would remain,
// errs.CodeInvalidTransition for a forbidden change of status, and
// errs.CodeEmailTaken when another account has the address.
func (s *Service) ChangeUser(ctx context.Context, actor Principal, id uuid.UUID, c Change, allows func(version int32) bool) (User, error) {
	c, err := c.clean()
	if err != nil {
		return User{}, err
	}
	var after User
	err = s.inTx(ctx, func(q *crmdb.Queries) error {
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
		if after != before {
			d := userChange{actor: actor, before: before, after: after, reason: c.Reason, auditKind: auditUserChanged}
			if after, err = s.writeChange(ctx, q, d); err != nil {
				return err
			}
		}
		return s.setAvailable(ctx, q, after, c.Available, false)
	})
	if pg.IsUnique(err, "users_email_key") {
		return User{}, errEmailTaken
	}
	if err != nil {
		return User{}, fmt.Errorf("change user: %w", err)
	}
	s.Wake()
	return after, nil
}

// setAvailable changes nothing when available is nil.
func (s *Service) setAvailable(ctx context.Context, q *crmdb.Queries, u User, available *bool, handOver bool) error {
	if available == nil {
		return nil
	}
	if !u.isApproved(RoleEngineer) {
		return invalid("body.available", errNotEngineer)
	}
	return assignment.SetAvailable(ctx, q, u.ID, *available, handOver)
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

// explain turns an error of the rules into one of the API.
func explain(err error) error {
	var step transitionError
	if errors.As(err, &step) {
		return errs.New(errs.Conflict, errs.CodeInvalidTransition, step.Error())
	}
	return err
}

// userChange is a change of a user that is to be stored.
type userChange struct {
	actor         Principal
	before, after User
	reason        string
	auditKind     string
}

// writeChange writes a user's change with its consequences: sessions end with the
// approval, engineers join or leave the assignment, the person is notified, and
// the audit has an entry. The caller holds the user's row lock.
func (s *Service) writeChange(ctx context.Context, q *crmdb.Queries, d userChange) (User, error) {
	if loses(d.before, d.after, RoleAdmin) {
		if err := requireAnotherAdmin(ctx, q, d.before.ID); err != nil {
			return User{}, err
		}
	}
	now := s.now()
	u := d.after
	if err := q.UserUpdate(ctx, crmdb.UserUpdateParams{
		ID: u.ID, Name: u.Name, Email: u.Email, Search: searchText(u.Name, u.Email),
		Role: crmdb.UserRole(u.Role), Status: crmdb.UserStatus(u.Status), EmailVerifiedAt: u.EmailVerifiedAt, Now: now,
	}); err != nil {
		return User{}, fmt.Errorf("update user: %w", err)
	}
	u.Version, u.UpdatedAt = d.before.Version+1, now
	if d.before.Status == StatusApproved && u.Status != StatusApproved {
		if err := q.SessionRevokeAll(ctx, crmdb.SessionRevokeAllParams{UserID: u.ID, Now: now}); err != nil {
			return User{}, fmt.Errorf("end sessions: %w", err)
		}
	}
	if err := moveEngineer(ctx, q, d); err != nil {
		return User{}, err
	}
	if err := s.notifyOfChange(ctx, q, d, now); err != nil {
		return User{}, err
	}
	state := stateOf(u)
	state.Reason, state.EmailChanged = d.reason, u.Email != d.before.Email
	return u, record(ctx, q, now, audit{
		kind: d.auditKind, actor: d.actor.UserID, object: u.ID, before: stateOf(d.before), after: state,
	})
}

// requireAnotherAdmin fails when no other approved admin exists. It holds a lock
// until the end of the transaction, so that of two admins who demote each other
// one succeeds.
func requireAnotherAdmin(ctx context.Context, q *crmdb.Queries, id uuid.UUID) error {
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

func moveEngineer(ctx context.Context, q *crmdb.Queries, d userChange) error {
	switch {
	case gains(d.before, d.after, RoleEngineer):
		return assignment.Join(ctx, q, d.after.ID)
	case loses(d.before, d.after, RoleEngineer):
		return assignment.Leave(ctx, q, d.after.ID, d.actor.UserID)
	}
	return nil
}

// notifyOfChange notifies a person of the change of their account.
func (s *Service) notifyOfChange(ctx context.Context, q *crmdb.Queries, d userChange, now time.Time) error {
	if d.after.Email != d.before.Email {
		if err := s.moveAddress(ctx, q, d, now); err != nil {
			return err
		}
	}
	if d.after.Status == d.before.Status {
		return nil
	}
	if isDecision(d.before, d.after) {
		if registered, err := answerRegistration(ctx, q, d, now); registered || err != nil {
			return err
		}
	}
	if d.actor.UserID == d.after.ID {
		return nil
	}
	event := map[Status]string{
		StatusApproved: notice.AccountApproved, StatusSuspended: notice.AccountSuspended, StatusRejected: notice.AccountRejected,
	}[d.after.Status]
	return outbox.Add(ctx, q, now, d.after.ID, notice.AccountChanged{To: person(d.after), Event: event, Reason: d.reason})
}

// moveAddress voids the tokens that were mailed to the old address, and notifies
// both addresses.
func (s *Service) moveAddress(ctx context.Context, q *crmdb.Queries, d userChange, now time.Time) error {
	if err := q.PasswordResetVoidAll(ctx, crmdb.PasswordResetVoidAllParams{UserID: d.after.ID, Now: now}); err != nil {
		return fmt.Errorf("void reset tokens: %w", err)
	}
	if err := q.EmailVerificationVoidAll(ctx, crmdb.EmailVerificationVoidAllParams{UserID: d.after.ID, Now: now}); err != nil {
		return fmt.Errorf("void verification tokens: %w", err)
	}
	for _, to := range []User{d.before, d.after} {
		if err := outbox.Add(ctx, q, now, to.ID, notice.AccountChanged{To: person(to), Event: notice.AddressChanged}); err != nil {
			return err
		}
	}
	return s.verifyNew(ctx, q, d.after, now)
}

// answerRegistration stores who decided, when and why, and notifies the
// applicant. It returns false for a user whose role never needed approval.
func answerRegistration(ctx context.Context, q *crmdb.Queries, d userChange, now time.Time) (registered bool, err error) {
	var reason *string
	if d.reason != "" {
		reason = &d.reason
	}
	n, err := q.RegistrationDecide(ctx, crmdb.RegistrationDecideParams{
		UserID: d.after.ID, DecidedBy: d.actor.UserID, Now: now, Reason: reason,
	})
	if err != nil {
		return false, fmt.Errorf("decide registration: %w", err)
	}
	if n == 0 {
		return false, nil
	}
	return true, outbox.Add(ctx, q, now, d.after.ID, notice.RegistrationDecided{
		To: person(d.after), Approved: d.after.Status == StatusApproved, Role: string(d.after.Role), Reason: d.reason,
	})
}

// Package identity owns who may come in and as what: users with their role and
// status, registration and its approval, passwords, sessions with their tokens,
// the limits against guessing, and the record of all that in the audit.
//
// It tells higher rooms who asks (Principal) and decides nothing about tickets;
// that an engineer comes or goes is told to the room assignment, below it.
package identity

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Role is what a user may do.
type Role string

// The roles, as they stand in the database and in JSON.
const (
	RoleCustomer Role = "customer"
	RoleEngineer Role = "engineer"
	RoleAdmin    Role = "admin"
)

// Status is whether a user may come in.
type Status string

// The statuses, as they stand in the database and in JSON.
const (
	StatusPending   Status = "pending"
	StatusApproved  Status = "approved"
	StatusRejected  Status = "rejected"
	StatusSuspended Status = "suspended"
)

// User is a person with an account. Email is in the canonical form of
// address.Parse; EmailVerifiedAt is nil until the person has proved to read mail
// there.
type User struct {
	ID              uuid.UUID
	Name            string
	Email           string
	Role            Role
	Status          Status
	Version         int32
	EmailVerifiedAt *time.Time
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// Principal is who makes a request, as the database had it when the request
// came: an approved user and the session the access token belongs to.
type Principal struct {
	UserID    uuid.UUID
	SessionID uuid.UUID
	Name      string
	Email     string
	Role      Role
}

// initialStatus is the status of somebody who registers: customers are let in
// at once, the others wait for an admin.
func initialStatus(r Role) Status {
	if r == RoleCustomer {
		return StatusApproved
	}
	return StatusPending
}

// steps lists where an admin may take a status from each.
var steps = map[Status][]Status{
	StatusPending:   {StatusApproved, StatusRejected},
	StatusApproved:  {StatusSuspended, StatusRejected},
	StatusRejected:  {StatusApproved},
	StatusSuspended: {StatusApproved, StatusRejected},
}

// errStep is a change of status that the rules don't have.
type errStep struct{ from, to Status }

func (e errStep) Error() string {
	names := make([]string, 0, 2)
	for _, s := range steps[e.from] {
		names = append(names, string(s))
	}
	return "A user who is " + string(e.from) + " can become " + strings.Join(names, " or ") + ", not " + string(e.to) + "."
}

// Change is what an admin changes of a user; nil leaves a field as it is.
// Available is for approved engineers alone. Reason goes with Status rejected or
// suspended, and is told to the person.
type Change struct {
	Role      *Role
	Status    *Status
	Name      *string
	Email     *string
	Available *bool
	Reason    string
}

// apply gives the user as the change would leave it; name and address are clean
// already. A new address is not verified. errStep where a step isn't allowed.
func (u User) apply(c Change) (User, error) {
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.Email != nil && *c.Email != u.Email {
		u.Email, u.EmailVerifiedAt = *c.Email, nil
	}
	if c.Role != nil {
		u.Role = *c.Role
	}
	if c.Status != nil && *c.Status != u.Status {
		if !slices.Contains(steps[u.Status], *c.Status) {
			return User{}, errStep{u.Status, *c.Status}
		}
		u.Status = *c.Status
	}
	return u, nil
}

func (u User) isApproved(r Role) bool { return u.Role == r && u.Status == StatusApproved }

// gains and loses tell what a change means for those who may act in a role.
func gains(before, after User, r Role) bool { return !before.isApproved(r) && after.isApproved(r) }
func loses(before, after User, r Role) bool { return before.isApproved(r) && !after.isApproved(r) }

// isDecision tells whether a change of status answers a registration.
func isDecision(before, after User) bool {
	switch after.Status {
	case StatusApproved:
		return before.Status == StatusPending || before.Status == StatusRejected
	case StatusRejected:
		return before.Status != StatusRejected
	}
	return false
}

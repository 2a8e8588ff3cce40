// Package identity manages users with their role and status, registration and its
// approval, invitations, verification of addresses, passwords, sessions with their
// tokens, the limits against guessing, and the audit log of all that.
//
// Packages that import it get the authenticated user (Principal). It decides
// nothing about tickets. It calls package assignment when engineers join and
// leave.
package identity

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Role decides what a user may do.
type Role string

// The roles, as in the database and in JSON.
const (
	RoleCustomer Role = "customer"
	RoleEngineer Role = "engineer"
	RoleAdmin    Role = "admin"
)

// Status decides whether a user may sign in.
type Status string

// The statuses, as in the database and in JSON.
const (
	StatusPending   Status = "pending"
	StatusApproved  Status = "approved"
	StatusRejected  Status = "rejected"
	StatusSuspended Status = "suspended"
)

// User is a person with an account. Email is in the canonical form of
// address.Parse; EmailVerifiedAt is nil until the address is verified.
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

// Principal is the authenticated user of a request, as read when the request
// began: an approved user, with the session of the access token or the API key.
type Principal struct {
	UserID    uuid.UUID
	SessionID uuid.UUID // Nil with a key
	KeyID     uuid.UUID // Nil with a session
	Name      string
	Email     string
	Role      Role
	// Unverified means that the account's address must be verified and is not.
	Unverified bool

	keyHash string // of the key's secret, for Check
}

// initialStatus is the status after registration: customers are approved at once,
// engineers and admins wait for an admin's decision.
func initialStatus(r Role) Status {
	if r == RoleCustomer {
		return StatusApproved
	}
	return StatusPending
}

// transitions lists the statuses that an admin may set from each.
var transitions = map[Status][]Status{
	StatusPending:   {StatusApproved, StatusRejected},
	StatusApproved:  {StatusSuspended, StatusRejected},
	StatusRejected:  {StatusApproved},
	StatusSuspended: {StatusApproved, StatusRejected},
}

// transitionError is a change of status that the rules don't allow.
type transitionError struct{ from, to Status }

func (e transitionError) Error() string {
	names := make([]string, 0, 2)
	for _, s := range transitions[e.from] {
		names = append(names, string(s))
	}
	return "A user who is " + string(e.from) + " can become " + strings.Join(names, " or ") + ", not " + string(e.to) + "."
}

// Change is an admin's change of a user; nil keeps a field. Available is allowed
// for approved engineers, and Reason with Status rejected or suspended; it is
// mailed to the person.
type Change struct {
	Role      *Role
	Status    *Status
	Name      *string
	Email     *string
	Available *bool
	Reason    string
}

// apply returns the user after the change, whose name and address must be clean.
// A new address is not verified. The error is a transitionError.
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
		if !slices.Contains(transitions[u.Status], *c.Status) {
			return User{}, transitionError{u.Status, *c.Status}
		}
		u.Status = *c.Status
	}
	return u, nil
}

func (u User) isApproved(r Role) bool { return u.Role == r && u.Status == StatusApproved }

// gains and loses compare whether the user may act in the role.
func gains(before, after User, r Role) bool { return !before.isApproved(r) && after.isApproved(r) }
func loses(before, after User, r Role) bool { return before.isApproved(r) && !after.isApproved(r) }

// isDecision reports whether a change of status answers a registration.
func isDecision(before, after User) bool {
	switch after.Status {
	case StatusApproved:
		return before.Status == StatusPending || before.Status == StatusRejected
	case StatusRejected:
		return before.Status != StatusRejected
	}
	return false
}

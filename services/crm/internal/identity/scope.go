package identity

import (
	"slices"

	"fixdesk/pkg/notifyapi"
)

// Scope is what an API key may be used for.
type Scope string

// The scopes of API keys (RFC 6749, section 3.3). Each operation that keys may
// call names exactly one, and no scope includes another. Scopes narrow what the
// owner of a key may do; they never add to it.
const (
	ScopeTicketsRead  = "tickets:read"  // tickets, comments, events, reports
	ScopeTicketsWrite = "tickets:write" // raise, edit, assign, comment
	ScopePeopleRead   = "people:read"   // users, registrations, one's own profile
	ScopePeopleWrite  = "people:write"  // one's own name and availability
	ScopeAdmin        = "admin"         // decide about accounts, read audit and outbox
)

// Scopes lists the scopes that a key may have. Those of the notification service are for the
// exchange at POST /v1/auth/token.
var Scopes = []Scope{
	ScopeTicketsRead, ScopeTicketsWrite, ScopePeopleRead, ScopePeopleWrite, ScopeAdmin,
	notifyapi.ScopeRead, notifyapi.ScopeWrite, notifyapi.ScopeManage,
}

// notificationScopes are the scopes of tokens for the notification service.
var notificationScopes = []Scope{notifyapi.ScopeRead, notifyapi.ScopeWrite, notifyapi.ScopeManage}

// isForAdmins reports whether only admins may hold the scope.
func isForAdmins(scope Scope) bool {
	return scope == ScopeAdmin || slices.Contains(notificationScopes, scope)
}

func toText(scopes []Scope) []string {
	list := make([]string, len(scopes))
	for i, s := range scopes {
		list[i] = string(s)
	}
	return list
}

func toScopes(list []string) []Scope {
	scopes := make([]Scope, len(list))
	for i, s := range list {
		scopes[i] = Scope(s)
	}
	return scopes
}

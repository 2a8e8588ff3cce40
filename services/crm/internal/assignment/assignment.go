// Package assignment decides which engineer gets a ticket. It owns the engineers,
// their load, and every change of a ticket's assignee. Its functions work inside
// the caller's transaction; the Backlog opens its own. It has neither HTTP nor
// permissions.
//
// A user can be assigned tickets while they have a row in the table engineers
// that is not marked leaving. The database keeps the load in that row
// equal to the number of active tickets (trigger tickets_load).
package assignment

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Cause is why a ticket was assigned or unassigned.
type Cause string

// The causes, as an event's changes name them under why.cause.
const (
	Created   Cause = "created"       // a new ticket
	Reopened  Cause = "reopened"      // a done ticket without an engineer was reopened
	Waiting   Cause = "waiting"       // a waiting ticket, and an engineer became available
	Declined  Cause = "declined"      // its assignee declined it
	Left      Cause = "engineer_left" // its assignee was suspended or has another role now
	Away      Cause = "engineer_away" // its assignee is away and handed it over
	Requested Cause = "requested"     // an admin or its assignee chose the engineer
)

// Rule is how the automatic choice is made, as an event's changes name it under
// why.rule.
const Rule = "fewest_active_then_longest_unassigned"

// Candidate is an engineer who was considered, with their active tickets at
// that moment.
type Candidate struct {
	ID            uuid.UUID `json:"id"`
	Name          string    `json:"name"`
	ActiveTickets int       `json:"active_tickets"`
}

// Why explains an assignment. It is for engineers and admins: Reason and the
// loads are not for customers. Candidates lists at most the ten next in line,
// and is empty when a person chose.
type Why struct {
	Cause      Cause       `json:"cause"`
	Rule       string      `json:"rule,omitempty"`
	Candidates []Candidate `json:"candidates,omitempty"`
	Reason     string      `json:"reason,omitempty"`
}

// Person is an engineer as an event names them.
type Person struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// TimeOfChange is the time of a change to a ticket that was last changed at
// last: now, or just after last when the clock of another replica was ahead. The
// caller holds the ticket's row lock and has read now after it. The precision is
// the database's, one microsecond.
func TimeOfChange(now, last time.Time) time.Time {
	now, last = now.UTC().Truncate(time.Microsecond), last.UTC()
	if now.After(last) {
		return now
	}
	return last.Add(time.Microsecond)
}

// exclusions lists whom an offer excludes: first the reporter, the present
// assignee and all who declined the ticket; then, when no engineer remains, only
// the reporter and the present assignee. A second list equal to the first is
// omitted.
func exclusions(reporter uuid.UUID, assignee *uuid.UUID, decliners []uuid.UUID) [][]uuid.UUID {
	always := []uuid.UUID{reporter}
	if assignee != nil && *assignee != reporter {
		always = append(always, *assignee)
	}
	first := slices.Clone(always)
	for _, d := range decliners {
		if !slices.Contains(first, d) {
			first = append(first, d)
		}
	}
	if len(first) == len(always) {
		return [][]uuid.UUID{always}
	}
	return [][]uuid.UUID{first, always}
}

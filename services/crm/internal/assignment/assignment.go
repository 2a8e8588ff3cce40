// Package assignment owns who gets a ticket: the engineers who can act, their
// load, and every move of a ticket from one of them to another. It works inside
// its caller's transaction and never opens one, save the sweep of tickets that
// wait. It knows neither HTTP nor who is permitted to ask.
//
// An engineer can act while a row of theirs stands in the table engineers: it
// comes with the approval and goes with it. The database keeps the load in that
// row equal to the active tickets (trigger tickets_load).
package assignment

import (
	"slices"

	"github.com/google/uuid"
)

// Cause is what made a ticket move.
type Cause string

// The causes, as they stand in an event's changes under why.cause.
const (
	Created   Cause = "created"       // a new ticket
	Reopened  Cause = "reopened"      // it was done, and nobody has it or its assignee is gone
	Waiting   Cause = "waiting"       // it waited, and an engineer became available
	Declined  Cause = "declined"      // its assignee declined it
	Left      Cause = "engineer_left" // its assignee was suspended or has another role now
	Away      Cause = "engineer_away" // its assignee went away and handed it over
	Requested Cause = "requested"     // an admin asked for it
)

// Rule is how the automatic choice is made, as it stands in an event's changes
// under why.rule.
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
// and is empty when an admin chose.
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

// exclusions are the two circles of engineers that an offer passes over: first
// everybody who declined the ticket and its present assignee, then, when nobody
// else remains, the present assignee alone. A second circle equal to the first
// is left out.
func exclusions(assignee *uuid.UUID, decliners []uuid.UUID) [][]uuid.UUID {
	inner := []uuid.UUID{}
	if assignee != nil {
		inner = append(inner, *assignee)
	}
	outer := slices.Clone(inner)
	for _, d := range decliners {
		if !slices.Contains(outer, d) {
			outer = append(outer, d)
		}
	}
	if len(outer) == len(inner) {
		return [][]uuid.UUID{inner}
	}
	return [][]uuid.UUID{outer, inner}
}

// Package ticket owns tickets: the permissions, the steps between statuses,
// comments and events. Package assignment chooses the engineer, package notice
// makes the mails. It must not write to users or engineers itself.
package ticket

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// Status is the state of a ticket.
type Status string

// The statuses. The first three are active: they still need work.
const (
	Open       Status = "open"
	InProgress Status = "in_progress"
	Blocked    Status = "blocked"
	Resolved   Status = "resolved"
	Closed     Status = "closed"
)

// Active reports whether a ticket in this status counts as an engineer's load.
// The SQL function ticket_is_active has the same list.
func (s Status) Active() bool { return slices.Contains(ActiveStatuses, s) }

// ActiveStatuses are the statuses of tickets that still need work. Don't modify.
var ActiveStatuses = []Status{Open, InProgress, Blocked}

// WaitingFor is the person that a blocked ticket waits for.
type WaitingFor string

// The values of WaitingFor. A comment by the reporter takes a ticket
// that waits for the customer back to in_progress.
const (
	WaitsForCustomer WaitingFor = "customer"
	WaitsForOther    WaitingFor = "other"
)

// Priority is how urgent a ticket is.
type Priority string

// The priorities, lowest first.
const (
	Low    Priority = "low"
	Normal Priority = "normal"
	High   Priority = "high"
	Urgent Priority = "urgent"
)

// Priorities are all priorities, lowest first. Don't modify.
var Priorities = []Priority{Low, Normal, High, Urgent}

// Person is a user as a ticket names them. Email is set where staff may need it:
// on reporters.
type Person struct {
	ID    uuid.UUID `json:"id"`
	Name  string    `json:"name"`
	Email string    `json:"email,omitempty"`
}

// Ticket is one request for help.
type Ticket struct {
	ID          uuid.UUID
	Number      int64 // for people; unique, not without gaps
	Title       string
	Description string
	Status      Status
	Priority    Priority
	Reporter    Person
	Assignee    *Person
	Resolution  *string // what fixed it; set while resolved or closed after that

	BlockedReason *string     // while blocked, if it was given
	WaitingFor    *WaitingFor // set while blocked, and only then

	HasFiles   bool // see attachment.OfTicket
	Version    int  // grows by one with each visible change
	CreatedAt  time.Time
	UpdatedAt  time.Time
	AcceptedAt *time.Time
	ResolvedAt *time.Time
	ClosedAt   *time.Time
}

// Party is a set of relations of a person to a ticket.
type Party uint8

// The parties. Customers see the tickets that they reported or follow, staff
// (engineers and admins) see all. Only reporter, assignee and admins change a ticket.
const (
	AsReporter Party = 1 << iota
	AsAssignee
	AsAdmin
)

// Viewer is the user who makes a request.
type Viewer struct {
	ID    uuid.UUID
	Name  string
	Email string
	Role  string // customer, engineer or admin
	// Unverified means that nobody has shown to read mail at Email, which may be
	// somebody else's: as a follower, the viewer sees nothing.
	Unverified bool
}

// Staff reports whether the viewer is an engineer or an admin: they see every
// ticket, internal comments and the reasons of assignments.
func (v Viewer) Staff() bool { return v.Role == "engineer" || v.Role == "admin" }

// CanSee reports whether the viewer may see the ticket at all. follows is whether they
// are one of its followers; who sees it without that needs no answer.
func (v Viewer) CanSee(t Ticket, follows bool) bool {
	return v.Staff() || t.Reporter.ID == v.ID || follows && !v.Unverified
}

// partyOf returns the viewer's relations to the ticket.
func partyOf(v Viewer, t Ticket) Party {
	var p Party
	if t.Reporter.ID == v.ID {
		p |= AsReporter
	}
	if v.Role == "engineer" && t.Assignee != nil && t.Assignee.ID == v.ID {
		p |= AsAssignee
	}
	if v.Role == "admin" {
		p |= AsAdmin
	}
	return p
}

// steps has all steps between statuses: from each status, the ones to which a
// party may take a ticket. An admin may take every step of the others.
var steps = map[Status]map[Status]Party{
	Open:       {InProgress: AsAssignee, Closed: AsReporter},
	InProgress: {Blocked: AsAssignee, Resolved: AsAssignee, Closed: AsReporter},
	Blocked:    {InProgress: AsAssignee, Resolved: AsAssignee, Closed: AsReporter},
	Resolved:   {InProgress: AsAssignee, Closed: AsReporter, Open: AsReporter},
	Closed:     {Open: AsReporter},
}

// Statuses lists all statuses in the order of a ticket's life.
var Statuses = []Status{Open, InProgress, Blocked, Resolved, Closed}

// possible lists where the party may take a ticket from here, in the order of
// a ticket's life.
func possible(from Status, p Party) []Status {
	var to []Status
	for _, s := range Statuses {
		if allowed, ok := steps[from][s]; ok && (p&allowed != 0 || p&AsAdmin != 0) {
			to = append(to, s)
		}
	}
	return to
}

// Edit is a requested change; nil keeps a field.
type Edit struct {
	Title       *string
	Description *string
	Priority    *Priority
	Status      *Status
	Resolution  *string

	BlockedReason *string
	WaitingFor    *WaitingFor
}

// Refusal is why an edit is refused.
type Refusal uint8

// The refusals.
const (
	Allowed         Refusal = iota
	NotYours                // neither reporter, assignee nor admin
	FieldNotYours           // a field that this party may not change
	NotActive               // the reporter edits only an active ticket
	NoSuchStep              // the status can't be reached from here by this party
	NeedsAssignee           // it would be in progress without an assignee
	NeedsResolution         // resolved without saying how
	NoResolutionNow         // a resolution on a ticket that isn't resolved
	Accepted                // an engineer accepted it before
	AssigneeGone            // its assignee is no longer an engineer
	NotBlocked              // a blocked_reason or waiting_for on a ticket that isn't blocked
	ClosedTooLong           // a comment no longer reopens it
)

// check decides whether the party may make the edit.
func (e Edit) check(t Ticket, p Party) Refusal {
	if p&(AsReporter|AsAssignee|AsAdmin) == 0 {
		return NotYours
	}
	worker := p&(AsAssignee|AsAdmin) != 0
	if !worker && e.needsWorker(t) {
		return FieldNotYours
	}
	if !worker && (e.Title != nil || e.Description != nil) && !t.Status.Active() {
		return NotActive
	}
	to := t.Status
	if e.Status != nil && *e.Status != to { // the present status is no step
		to = *e.Status
		if r := e.checkStep(t, to, p); r != Allowed {
			return r
		}
	}
	if e.Resolution != nil && to != Resolved && (to != Closed || t.ResolvedAt == nil) {
		return NoResolutionNow
	}
	if (e.BlockedReason != nil || e.WaitingFor != nil) && to != Blocked {
		return NotBlocked
	}
	return Allowed
}

// needsWorker reports whether the edit has a field that the reporter may not
// change: the priority of an accepted ticket, the resolution, the blocked reason
// and whom it waits for.
func (e Edit) needsWorker(t Ticket) bool {
	return e.Priority != nil && t.Status != Open || e.Resolution != nil || e.BlockedReason != nil || e.WaitingFor != nil
}

// checkStep decides whether the party may take the ticket to another status.
func (e Edit) checkStep(t Ticket, to Status, p Party) Refusal {
	switch {
	case !slices.Contains(possible(t.Status, p), to):
		return NoSuchStep
	case to == InProgress && t.Assignee == nil:
		return NeedsAssignee
	case to == Resolved && e.Resolution == nil:
		return NeedsResolution
	}
	return Allowed
}

// apply returns the ticket after an allowed edit. Version and UpdatedAt change only
// when another field does.
func (e Edit) apply(t Ticket, now time.Time) Ticket {
	after := t
	if e.Title != nil {
		after.Title = *e.Title
	}
	if e.Description != nil {
		after.Description = *e.Description
	}
	if e.Priority != nil {
		after.Priority = *e.Priority
	}
	if e.Resolution != nil {
		after.Resolution = e.Resolution
	}
	if e.Status != nil && *e.Status != t.Status {
		after = after.step(*e.Status, now)
	}
	if after.Status == Blocked && e.BlockedReason != nil {
		after.BlockedReason = e.BlockedReason
	}
	if after.Status == Blocked && e.WaitingFor != nil {
		after.WaitingFor = e.WaitingFor
	}
	if len(diff(t, after)) > 0 {
		after.Version++
		after.UpdatedAt = now
	}
	return after
}

// step changes the status and the fields that depend on it. A step back to an
// active status clears the resolution and the times of resolving and closing.
func (t Ticket) step(to Status, now time.Time) Ticket {
	t.BlockedReason, t.WaitingFor = nil, nil
	switch to {
	case Open:
		t.Resolution, t.ResolvedAt, t.ClosedAt = nil, nil, nil
	case InProgress:
		if t.Status == Open {
			t.AcceptedAt = &now
		}
		t.Resolution, t.ResolvedAt, t.ClosedAt = nil, nil, nil
	case Resolved:
		t.ResolvedAt = &now
	case Closed:
		t.ClosedAt = &now
	case Blocked:
		other := WaitsForOther
		t.WaitingFor = &other
	}
	t.Status = to
	return t
}

// afterCommentOfReporter returns the status of a ticket after a public comment by
// its reporter: one that waits for the customer is in progress again, one that is
// done is open again, unless it has been closed for longer than reopenWithin.
func (t Ticket) afterCommentOfReporter(now time.Time, reopenWithin time.Duration) (Status, Refusal) {
	switch {
	case t.Status == Blocked && t.WaitingFor != nil && *t.WaitingFor == WaitsForCustomer:
		return InProgress, Allowed
	case t.Status == Closed && t.ClosedAt != nil && now.Sub(*t.ClosedAt) > reopenWithin:
		return t.Status, ClosedTooLong
	case t.Status == Resolved || t.Status == Closed:
		return Open, Allowed
	}
	return t.Status, Allowed
}

// checkAccept decides whether an engineer may accept the ticket.
func (t Ticket) checkAccept(engineer uuid.UUID) Refusal {
	switch {
	case t.Status == InProgress || t.Status == Blocked:
		return Accepted
	case t.Status != Open:
		return NoSuchStep
	case t.Assignee != nil && t.Assignee.ID != engineer:
		return NotYours
	}
	return Allowed
}

// checkDecline decides whether an engineer may decline the ticket: it must be
// active and assigned to them.
func (t Ticket) checkDecline(engineer uuid.UUID) Refusal {
	switch {
	case t.Assignee == nil || t.Assignee.ID != engineer:
		return NotYours
	case !t.Status.Active():
		return NoSuchStep
	}
	return Allowed
}

// Change is the value of a field before and after, for events and mails.
type Change struct {
	Field    string
	From, To *string
}

// diff lists the differences between two states of a ticket, in a fixed order.
func diff(before, after Ticket) []Change {
	var changes []Change
	add := func(field string, from, to *string) {
		if (from == nil) != (to == nil) || from != nil && *from != *to {
			changes = append(changes, Change{Field: field, From: from, To: to})
		}
	}
	text := func(s string) *string { return &s }
	add("status", text(string(before.Status)), text(string(after.Status)))
	add("title", text(before.Title), text(after.Title))
	add("description", text(before.Description), text(after.Description))
	add("priority", text(string(before.Priority)), text(string(after.Priority)))
	add("resolution", before.Resolution, after.Resolution)
	add("blocked_reason", before.BlockedReason, after.BlockedReason)
	add("waiting_for", (*string)(before.WaitingFor), (*string)(after.WaitingFor))
	return changes
}

// reopens reports whether an edit took a ticket back from done to open.
func reopens(before, after Ticket) bool { return !before.Status.Active() && after.Status == Open }

// eventKind is the kind of event for the change between two states of a ticket.
func eventKind(before, after Ticket) string {
	switch {
	case before.Status == after.Status:
		return EventUpdated
	case before.Status == Open && after.Status == InProgress:
		return EventAccepted
	case reopens(before, after):
		return EventReopened
	}
	return EventStatusChanged
}

// The kinds of event, besides those of package assignment.
const (
	EventCreated       = "created"
	EventAccepted      = "accepted"
	EventDeclined      = "declined"
	EventUpdated       = "updated"
	EventStatusChanged = "status_changed"
	EventReopened      = "reopened"
	EventCommented     = "commented"

	EventCommentRemoved  = "comment_removed"
	EventCommentReleased = "comment_released"
	EventCommentRefused  = "comment_refused"

	EventFollowerAdded   = "follower_added"
	EventFollowerRemoved = "follower_removed"
)

package ticket

import (
	"encoding/json"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/example"
)

// EventKind is the kind of an event.
type EventKind string

// EventView is an event in an answer. The document describes it as the union of the
// types of this file, one for each kind.
type EventView struct {
	ID        uuid.UUID                    `json:"id"`
	TicketID  uuid.UUID                    `json:"ticket_id"`
	Number    int64                        `json:"ticket_number"`
	Kind      EventKind                    `json:"kind"`
	Actor     httpapi.Nullable[PersonView] `json:"actor"`
	Changes   map[string]json.RawMessage   `json:"changes"`
	CreatedAt httpapi.Time                 `json:"created_at"`
}

// ViewEvent makes the view of an event; its changes must be a JSON object.
func ViewEvent(e Event) (EventView, error) {
	v := EventView{
		ID: e.ID, TicketID: e.TicketID, Number: e.Number, Kind: EventKind(e.Kind), Actor: ViewPersonOrNull(e.Actor),
		Changes: map[string]json.RawMessage{}, CreatedAt: httpapi.NewTime(e.CreatedAt),
	}
	return v, json.Unmarshal(e.Changes, &v.Changes)
}

// registerEvents describes the events in the document.
func registerEvents(api *httpapi.API) {
	httpapi.Enum[EventKind](api, "EventKind", "What happened to a ticket. A later release may add kinds: skip those that you don't know.",
		EventCreated, assignment.EventAssigned, assignment.EventUnassigned, EventAccepted, EventDeclined, EventUpdated,
		EventStatusChanged, EventReopened, EventCommented, EventCommentRemoved,
		EventCommentReleased, EventCommentRefused, EventFollowerAdded, EventFollowerRemoved)
	httpapi.Enum(api, "AssignmentCause",
		"created: the ticket was new. reopened: it was reopened without an engineer. waiting: it waited, and an engineer became available. "+
			"declined: its assignee declined it. engineer_left: its assignee was suspended or has another role. "+
			"engineer_away: its assignee is away and handed it over. requested: an admin or its assignee chose the engineer.",
		assignment.Created, assignment.Reopened, assignment.Waiting, assignment.Declined, assignment.Left, assignment.Away, assignment.Requested)
	httpapi.Union[EventView, EventKind](api, "Event",
		"A change of a ticket. Its kind determines which changes it has: each field's value before (from) and after (to).", "kind", anyEvent{},
		createdEvent{}, assignedEvent{}, unassignedEvent{}, acceptedEvent{}, declinedEvent{}, updatedEvent{},
		statusChangedEvent{}, reopenedEvent{}, commentedEvent{}, commentRemovedEvent{},
		commentReleasedEvent{}, commentRefusedEvent{}, followerAddedEvent{}, followerRemovedEvent{})
}

// exampleEvents are the first events of the example's ticket.
var exampleEvents = httpapi.NewPage([]EventView{
	exampleEvent("019bb1a3-3741-7a10-8c2d-3e4f5a6b7c01", "09:30:00", EventCreated, &example.Ada,
		`{"title": {"from": null, "to": "`+example.Title+`"}, "priority": {"from": null, "to": "high"}}`),
	exampleEvent("019bb1a3-3741-7a11-9d3e-4f5a6b7c8d02", "09:30:00", assignment.EventAssigned, nil,
		`{"assignee": {"from": null, "to": {"id": "`+example.Sofia.ID.String()+`", "name": "`+example.Sofia.Name+`"}}}`),
	exampleEvent("019bb1ae-3390-7a12-8e4f-5a6b7c8d9e03", "09:42:00", EventAccepted, &example.Erik,
		`{"status": {"from": "open", "to": "in_progress"}}`),
}, example.NextCursor)

func exampleEvent(id, clock string, kind EventKind, actor *example.Person, changes string) EventView {
	e := Event{
		ID: uuid.MustParse(id), TicketID: example.TicketID, Number: example.Number, Kind: string(kind),
		Changes: json.RawMessage(changes), CreatedAt: example.At(clock),
	}
	if actor != nil {
		e.Actor = &Person{ID: actor.ID, Name: actor.Name}
	}
	v, err := ViewEvent(e)
	if err != nil {
		panic("an example is not JSON: " + err.Error())
	}
	return v
}

// EventFields are in events of every kind.
type EventFields struct {
	ID        uuid.UUID                    `json:"id" format:"uuid" doc:"The event's id, a UUIDv7."`
	TicketID  uuid.UUID                    `json:"ticket_id" format:"uuid" doc:"The ticket's id."`
	Number    int64                        `json:"ticket_number" doc:"The ticket's number, as in #42."`
	Actor     httpapi.Nullable[PersonView] `json:"actor" doc:"Who did it; null for an automatic change."`
	CreatedAt httpapi.Time                 `json:"created_at" doc:"When it happened."`
}

// anyEvent is what events of all kinds have in common.
type anyEvent struct {
	EventFields
	Changes map[string]any `json:"changes" doc:"Each field's value before (from) and after (to), as the kind determines."`
}

type createdEvent struct {
	EventFields
	Kind    string         `json:"kind" enum:"created" doc:"Always created."`
	Changes createdChanges `json:"changes" doc:"What the ticket began with."`
}

type assignedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"assigned" doc:"Always assigned."`
	Changes assigneeChanges `json:"changes" doc:"Its new and its former assignee."`
}

type unassignedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"unassigned" doc:"Always unassigned."`
	Changes assigneeChanges `json:"changes" doc:"Its former assignee."`
}

type acceptedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"accepted" doc:"Always accepted."`
	Changes acceptedChanges `json:"changes" doc:"The status, with the assignee if there was none."`
}

type declinedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"declined" doc:"Always declined."`
	Changes declinedChanges `json:"changes" doc:"The reason. The next assignee is in an event of its own."`
}

type updatedEvent struct {
	EventFields
	Kind    string       `json:"kind" enum:"updated" doc:"Always updated."`
	Changes FieldChanges `json:"changes" doc:"The fields that were edited."`
}

type statusChangedEvent struct {
	EventFields
	Kind    string        `json:"kind" enum:"status_changed" doc:"Always status_changed."`
	Changes StatusChanges `json:"changes" doc:"The status and the fields that were changed with it."`
}

type reopenedEvent struct {
	EventFields
	Kind    string        `json:"kind" enum:"reopened" doc:"Always reopened."`
	Changes StatusChanges `json:"changes" doc:"The status and the fields that were changed with it."`
}

type commentedEvent struct {
	EventFields
	Kind    string         `json:"kind" enum:"commented" doc:"Always commented."`
	Changes commentChanges `json:"changes" doc:"The comment."`
}

type commentRemovedEvent struct {
	EventFields
	Kind    string         `json:"kind" enum:"comment_removed" doc:"Always comment_removed."`
	Changes commentChanges `json:"changes" doc:"The comment whose text was removed."`
}

type commentReleasedEvent struct {
	EventFields
	Kind    string         `json:"kind" enum:"comment_released" doc:"Always comment_released. For engineers and admins only."`
	Changes commentChanges `json:"changes" doc:"The held comment that was let in."`
}

type commentRefusedEvent struct {
	EventFields
	Kind    string         `json:"kind" enum:"comment_refused" doc:"Always comment_refused. For engineers and admins only."`
	Changes commentChanges `json:"changes" doc:"The held comment that stays internal."`
}

type followerAddedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"follower_added" doc:"Always follower_added. For engineers and admins only."`
	Changes followerChanges `json:"changes" doc:"Who follows the ticket now."`
}

type followerRemovedEvent struct {
	EventFields
	Kind    string          `json:"kind" enum:"follower_removed" doc:"Always follower_removed. For engineers and admins only."`
	Changes followerChanges `json:"changes" doc:"Who no longer follows the ticket."`
}

type followerChanges struct {
	Follower followerChange `json:"follower" doc:"The follower."`
}

type followerChange struct {
	From httpapi.Nullable[PersonView] `json:"from" doc:"The former follower; null for none."`
	To   httpapi.Nullable[PersonView] `json:"to" doc:"The new follower; null for none."`
}

type createdChanges struct {
	Title    titleSet    `json:"title" doc:"The title."`
	Priority prioritySet `json:"priority" doc:"The priority."`
}

type declinedChanges struct {
	Why *assignmentReason `json:"why,omitempty" doc:"For engineers and admins only: why it was declined."`
}

type titleSet struct {
	From *string `json:"from" nullable:"true" doc:"null."`
	To   string  `json:"to" doc:"The first title."`
}

type prioritySet struct {
	From *string  `json:"from" nullable:"true" doc:"null."`
	To   Priority `json:"to" doc:"The first priority."`
}

type statusChange struct {
	From Status `json:"from" doc:"The status before."`
	To   Status `json:"to" doc:"The status after."`
}

type priorityChange struct {
	From Priority `json:"from" doc:"The priority before."`
	To   Priority `json:"to" doc:"The priority after."`
}

type textChange struct {
	From *string `json:"from" nullable:"true" doc:"The value before; null for none."`
	To   *string `json:"to" nullable:"true" doc:"The value after; null for none."`
}

type waitingChange struct {
	From httpapi.Nullable[WaitingFor] `json:"from" doc:"The value before; null for none."`
	To   httpapi.Nullable[WaitingFor] `json:"to" doc:"The value after; null for none."`
}

type assigneeChange struct {
	From httpapi.Nullable[PersonView] `json:"from" doc:"The former assignee; null for none."`
	To   httpapi.Nullable[PersonView] `json:"to" doc:"The new assignee; null for none."`
}

// assigneeChanges are the changes of an assignment.
type assigneeChanges struct {
	Assignee assigneeChange    `json:"assignee" doc:"The assignee."`
	Status   *statusChange     `json:"status,omitempty" doc:"Present when the status changed with it."`
	Why      *assignmentReason `json:"why,omitempty" doc:"For engineers and admins only: why this engineer."`
}

// FieldChanges are the changes of an edit; absent fields did not change.
type FieldChanges struct {
	Title         *textChange     `json:"title,omitempty" doc:"Present when it changed."`
	Description   *textChange     `json:"description,omitempty" doc:"Present when it changed."`
	Priority      *priorityChange `json:"priority,omitempty" doc:"Present when it changed."`
	Resolution    *textChange     `json:"resolution,omitempty" doc:"Present when it changed."`
	BlockedReason *textChange     `json:"blocked_reason,omitempty" doc:"Present when it changed."`
	WaitingFor    *waitingChange  `json:"waiting_for,omitempty" doc:"Present when it changed."`
}

// StatusChanges are those of an edit that changed the status.
type StatusChanges struct {
	Status statusChange `json:"status" doc:"The status."`
	FieldChanges
}

type acceptedChanges struct {
	StatusChanges
	Assignee *assigneeChange `json:"assignee,omitempty" doc:"Present when it had no assignee before."`
}

type commentChanges struct {
	Comment commentReference `json:"comment" doc:"The comment, without its text."`
}

type commentReference struct {
	ID       uuid.UUID `json:"id" format:"uuid" doc:"The comment's id."`
	Internal bool      `json:"internal" doc:"Whether it is for engineers and admins only."`
}

type assignmentReason struct {
	Cause      assignment.Cause      `json:"cause"`
	Rule       string                `json:"rule,omitempty" doc:"The rule of the automatic choice; absent when a person chose."`
	Candidates []assignmentCandidate `json:"candidates,omitempty" doc:"At most the ten engineers that were next in line; absent when a person chose."`
	Reason     string                `json:"reason,omitempty" doc:"In words, where a person gave one."`
}

type assignmentCandidate struct {
	ID            uuid.UUID `json:"id" format:"uuid" doc:"The engineer's id."`
	Name          string    `json:"name" doc:"The engineer's name."`
	ActiveTickets int       `json:"active_tickets" doc:"How many active tickets they had at that moment."`
}

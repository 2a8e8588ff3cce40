// Package eventstream sends the changes of tickets to clients as server-sent
// events, in one order that all replicas share.
//
// An event gets its position in that order after its commit, by one sequencer at
// a time. The position is part of the data: the order survives dump and restore,
// and no other transaction delays it.
package eventstream

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Position is the place of an event in the stream. Positions increase, with gaps;
// 0 is before the first event.
type Position int64

// EventID is the last event id of a client: "4711-<uuid>" for an event, "4711"
// for a position without one. Event takes precedence, since a restored backup can
// assign a position a second time. The releases that numbered by transaction used
// the same form, with the nil UUID in ids without an event.
type EventID struct {
	Number Position
	Event  uuid.NullUUID
}

// String is the form that clients get.
func (id EventID) String() string {
	number := strconv.FormatInt(int64(id.Number), 10)
	if !id.Event.Valid {
		return number
	}
	return number + "-" + id.Event.UUID.String()
}

// ParseEventID accepts exactly the output of String.
func ParseEventID(s string) (EventID, bool) {
	number, event, hasEvent := strings.Cut(s, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 {
		return EventID{}, false
	}
	id := EventID{Number: Position(n)}
	if hasEvent {
		if id.Event.UUID, err = uuid.Parse(event); err != nil {
			return EventID{}, false
		}
		id.Event.Valid = true
	}
	return id, id.String() == s
}

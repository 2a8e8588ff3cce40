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

// Position is the place of an event in the stream. Positions grow, with gaps; 0
// is before the first event.
type Position int64

// EventID is what a client keeps as its last event id: "4711-<uuid>" for an
// event, "4711" for a place in the stream without one. Event decides where there
// is one, so that a position which a restored backup gives a second time isn't
// taken for the first. The releases that numbered by transaction had the same
// form, with the nil UUID in ids without an event.
type EventID struct {
	Number Position
	Event  uuid.NullUUID
}

// String is the form that clients keep.
func (id EventID) String() string {
	number := strconv.FormatInt(int64(id.Number), 10)
	if !id.Event.Valid {
		return number
	}
	return number + "-" + id.Event.UUID.String()
}

// ParseEventID reads what String wrote, byte for byte, and nothing else.
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

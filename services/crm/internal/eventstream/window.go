package eventstream

import (
	"slices"
	"sort"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/ticket"
)

// event is an event in the format of the streams, encoded once for all.
type event struct {
	position Position
	reporter uuid.UUID // of the ticket
	// followers of the ticket, as they were when the event was read after its commit
	followers []uuid.UUID
	staff     []byte
	customer  []byte // nil for an internal event
}

// visibleTo returns the form for a viewer; nil if they may not see the event.
func (e *event) visibleTo(v ticket.Viewer) []byte {
	switch {
	case v.Staff():
		return e.staff
	case e.reporter == v.ID, !v.Unverified && slices.Contains(e.followers, v.ID):
		return e.customer
	}
	return nil
}

func (e *event) size() int { return len(e.staff) + len(e.customer) + len(e.followers)*len(uuid.UUID{}) }

// The bounds of a window, which holds a burst of changes.
const (
	windowEvents = 4096
	windowBytes  = 8 << 20
)

// window is the latest part of the stream: every event after from, up to and
// including to. It is immutable; a newer one replaces it.
type window struct {
	from, to Position
	events   []*event
	next     chan struct{} // closed when there is a window with more events
}

func newWindow(at Position) *window {
	return &window{from: at, to: at, next: make(chan struct{})}
}

// since returns the events after a position; false when the window begins later,
// so that some could be missing. A position may be ahead of the window when the
// client read from another replica before.
func (w *window) since(at Position) ([]*event, bool) {
	if at < w.from {
		return nil, false
	}
	first := sort.Search(len(w.events), func(i int) bool { return w.events[i].position > at })
	return w.events[first:], true
}

// extended returns a window with the events appended, and cut at its beginning to
// its bounds.
func (w *window) extended(more []*event) *window {
	if len(more) == 0 {
		return w
	}
	longer := &window{from: w.from, to: more[len(more)-1].position, next: make(chan struct{})}
	all := slices.Concat(w.events, more)
	size, first := 0, len(all)
	for first > 0 && len(all)-first < windowEvents && size+all[first-1].size() <= windowBytes {
		first--
		size += all[first].size()
	}
	if first > 0 {
		longer.from = all[first-1].position
	}
	clear(all[:first]) // frees the events while the array is in use
	longer.events = all[first:]
	return longer
}

package eventstream

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/ticket"
)

// FeedPosition is a place in the order in which the feed tells events: by the
// transaction that wrote them, then by id. Transactions end in another order
// than they began, so a reader must stay below the horizon, the oldest that is
// still under way; what lies below it is complete.
type FeedPosition struct {
	Transaction uint64
	ID          uuid.UUID
}

// String is the form in which clients keep a position: 123-<uuid>.
func (p FeedPosition) String() string {
	return strconv.FormatUint(p.Transaction, 10) + "-" + p.ID.String()
}

// ParseFeedPosition reads what String wrote, byte for byte, and nothing else.
func ParseFeedPosition(s string) (FeedPosition, bool) {
	transaction, id, _ := strings.Cut(s, "-")
	number, err := strconv.ParseUint(transaction, 10, 64)
	if err != nil || len(id) != 36 {
		return FeedPosition{}, false
	}
	p := FeedPosition{Transaction: number}
	if p.ID, err = uuid.Parse(id); err != nil {
		return FeedPosition{}, false
	}
	return p, p.String() == s
}

// Compare orders positions as the database does.
func (p FeedPosition) Compare(other FeedPosition) int {
	return cmp.Or(cmp.Compare(p.Transaction, other.Transaction), bytes.Compare(p.ID[:], other.ID[:]))
}

// news is an event on its way to the streams, put into bytes once for everyone
// who may see it.
type news struct {
	at       FeedPosition
	reporter uuid.UUID // of the ticket
	staff    []byte
	customer []byte // nil for what is internal
}

// seenBy gives the event as the viewer may see it; nil if they may not.
func (n *news) seenBy(v ticket.Viewer) []byte {
	switch {
	case v.Staff():
		return n.staff
	case n.reporter == v.ID:
		return n.customer
	}
	return nil
}

func (n *news) size() int { return len(n.staff) + len(n.customer) }

// The bounds of a window: a burst of changes, not a history.
const (
	windowNews  = 4096
	windowBytes = 8 << 20
)

// window is the latest stretch of the feed: every event behind from, up to and
// including to. It never changes; a newer one takes its place.
type window struct {
	from, to FeedPosition
	news     []*news
	next     chan struct{} // closed when there is a window with more news
}

func newWindow(at FeedPosition) *window {
	return &window{from: at, to: at, next: make(chan struct{})}
}

// since gives the news behind a position; false when the window begins later,
// so that some could be missing. A position ahead of the window is fine: another
// replica may have read further.
func (w *window) since(at FeedPosition) ([]*news, bool) {
	if at.Compare(w.from) < 0 {
		return nil, false
	}
	first := sort.Search(len(w.news), func(i int) bool { return w.news[i].at.Compare(at) > 0 })
	return w.news[first:], true
}

// extended gives the window that reaches to a later position, shortened at its
// beginning to its bounds.
func (w *window) extended(more []*news, to FeedPosition) *window {
	longer := &window{from: w.from, to: to, news: w.news, next: w.next}
	if len(more) == 0 {
		return longer
	}
	all := slices.Concat(w.news, more)
	size, first := 0, len(all)
	for first > 0 && len(all)-first < windowNews && size+all[first-1].size() <= windowBytes {
		first--
		size += all[first].size()
	}
	if first > 0 {
		longer.from = all[first-1].at
	}
	clear(all[:first]) // else they would be kept as long as the rest
	longer.news, longer.next = all[first:], make(chan struct{})
	return longer
}

package delivery

import "time"

// places are those in the queue from one to before another.
type places struct{ from, before time.Time }

// wholeQueue has every place.
var wholeQueue = places{before: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}

const (
	// wholeEvery is how often the queue is read from its beginning at least.
	wholeEvery = 100 * time.Millisecond
	// wokenEvery is how often that may be, because new recipients are queued.
	wokenEvery = 20 * time.Millisecond
)

// reader decides where each claim begins to read the queue. A claim leaves an entry in
// the queue's index until the table is vacuumed, and the next one would pass all of them,
// which costs more with each mail. So a claim begins where the one before ended. What was
// queued before that place meanwhile, for example a small notification during a large one,
// is found by a read of the whole queue: at most wokenEvery later if this replica queued
// it, wholeEvery if another did.
type reader struct {
	reached time.Time // zero for the beginning
	wholeAt time.Time // when the whole queue was read last
	woken   bool      // recipients were queued since
}

// next returns the places of which the next recipients are claimed.
func (r *reader) next(now time.Time) places {
	p := wholeQueue
	if since := now.Sub(r.wholeAt); since >= wholeEvery || r.woken && since >= wokenEvery || since < 0 {
		r.reached = time.Time{}
	}
	if r.reached.IsZero() {
		r.wholeAt, r.woken = now, false
	}
	p.from = r.reached
	return p
}

// claimed notes a claim of next of up to n recipients, and reports whether there may be
// more.
func (r *reader) claimed(c claimed, n int) (more bool) {
	if c.size() == n {
		r.reached = c.last
		return true
	}
	whole := r.reached.IsZero()
	r.reached = time.Time{}
	return !whole
}

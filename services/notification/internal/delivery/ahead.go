package delivery

import (
	"sync/atomic"
	"time"
)

// ahead is how many recipients are leased at a time: as many as were sent in the last
// aheadTime, within bounds.
type ahead struct {
	least, most int
	now         atomic.Int64
	sent        atomic.Int64 // mails that ended since adaptedAt
	adaptedAt   time.Time
}

func newAhead(workers int) *ahead {
	a := &ahead{least: aheadPerWorker * workers, most: mostAheadPerWorker * workers}
	a.now.Store(int64(a.least))
	return a
}

// size is how many may be leased now.
func (a *ahead) size() int { return int(a.now.Load()) }

// adapt adapts the size to the rate since the last call. It must not be called
// concurrently.
func (a *ahead) adapt(now time.Time) {
	passed, sent := now.Sub(a.adaptedAt), a.sent.Swap(0)
	a.adaptedAt = now
	size := int64(a.least)
	if passed > 0 {
		size = min(max(size, sent*int64(aheadTime)/int64(passed)), int64(a.most))
	}
	a.now.Store(size)
}

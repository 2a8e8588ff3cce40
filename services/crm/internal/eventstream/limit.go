package eventstream

import (
	"sync"

	"github.com/google/uuid"
)

// The limits of streams that are open at the same time on one replica.
const (
	maxStreams         = 10_000
	maxStreamsCustomer = 5  // of one customer
	maxStreamsStaff    = 20 // of one engineer or admin
)

// admission is the outcome of opening a stream.
type admission uint8

const (
	admitted admission = iota
	accountFull
	replicaFull
)

// openStreams counts the open streams of this replica.
type openStreams struct {
	mu        sync.Mutex
	total     int
	byAccount map[uuid.UUID]int
}

// add counts one more stream of an account, unless it is one too many.
func (o *openStreams) add(account uuid.UUID, limit int) admission {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.byAccount[account] >= limit:
		return accountFull
	case o.total >= maxStreams:
		return replicaFull
	}
	o.byAccount[account]++
	o.total++
	return admitted
}

// remove counts one stream less.
func (o *openStreams) remove(account uuid.UUID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.total--
	if o.byAccount[account]--; o.byAccount[account] == 0 {
		delete(o.byAccount, account)
	}
}

func (o *openStreams) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.total
}

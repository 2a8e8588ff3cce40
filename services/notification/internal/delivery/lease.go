package delivery

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
)

// leases holds the leases of mails from the start of their conversation to their
// settlement. They are renewed in this time, so that a conversation may last
// longer than a lease.
type leases struct {
	mu     sync.Mutex
	tokens map[uuid.UUID]uuid.UUID // by recipient
}

func (l *leases) hold(t *task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tokens == nil {
		l.tokens = map[uuid.UUID]uuid.UUID{}
	}
	l.tokens[t.mail.ID] = t.token
}

func (l *leases) drop(batch []settlement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range batch {
		if l.tokens[s.mail.ID] == s.token {
			delete(l.tokens, s.mail.ID)
		}
	}
}

func (l *leases) held() map[uuid.UUID]uuid.UUID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.tokens)
}

// renew renews the leases three times within their duration, until ctx ends.
func (l *Loop) renew(ctx context.Context) {
	ticker := time.NewTicker(l.Lease / renewals)
	defer ticker.Stop()
	var missed map[uuid.UUID]uuid.UUID
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		held := l.leases.held()
		if len(held) == 0 {
			continue
		}
		renewed, err := l.store.renew(ctx, held, l.Lease, l.Lease/renewals)
		if ctx.Err() == nil {
			l.renewals.Report(ctx, err)
		}
		if err != nil {
			continue
		}
		for _, id := range renewed {
			delete(held, id)
		}
		// A lease that another replica took over can't be renewed again. One that is
		// missed once may belong to a mail that was settled meanwhile.
		for id, token := range held {
			if missed[id] == token {
				l.Logger.WarnContext(ctx, "lease was lost while its mail was being sent", "recipient_id", id)
			}
		}
		missed = held
	}
}

// renewals is how often a lease is renewed within its duration.
const renewals = 3

// beginWithin is the time after a claim within which a conversation must begin,
// so that the lease lasts until its first renewal.
func beginWithin(lease time.Duration) time.Duration { return lease / 2 }

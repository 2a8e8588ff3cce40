// Package delivery brings stored mails to the mail server: it claims
// recipients under a lease, sends without a transaction open, and writes down
// what became of them. It owns the order, the retries and the schedule.
//
// What a server's reply means is email's. It must not know the HTTP API, and
// nobody else may write a recipient's lease or place in the queue.
package delivery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Quantum is how far each further recipient of one notification stands behind
// the one before it in the queue, as if it had been asked for that much later.
// So a notification with a thousand recipients lets a later small one pass,
// and is itself held up for no longer than its own length.
const Quantum = 100 * time.Millisecond

// Policy says when a failed try is followed by another.
type Policy struct {
	RetryBase   time.Duration // the longest wait after the first failure
	RetryCap    time.Duration // the longest wait at all
	GiveUpAfter time.Duration // since the recipient was due
}

// Step is what a recipient becomes after a try.
type Step struct {
	Status        notifyapi.RecipientStatus
	Finished      bool
	NextAttemptAt time.Time
}

// After gives the step that follows a try that ended at the given time.
// failures counts this one and those before it since the recipient was due.
func (p Policy) After(o notifyapi.Outcome, failures int, dueAt, at time.Time) Step {
	switch o {
	case notifyapi.OutcomeSent:
		return Step{Status: notifyapi.RecipientSent, Finished: true, NextAttemptAt: at}
	case notifyapi.OutcomePermanent:
		return Step{Status: notifyapi.RecipientFailed, Finished: true, NextAttemptAt: at}
	}
	next := at.Add(p.backoff(failures))
	givenUp := next.After(dueAt.Add(p.GiveUpAfter))
	switch {
	case o == notifyapi.OutcomeUncertain:
		return Step{Status: notifyapi.RecipientUncertain, Finished: givenUp, NextAttemptAt: next}
	case givenUp:
		return Step{Status: notifyapi.RecipientFailed, Finished: true, NextAttemptAt: at}
	}
	return Step{Status: notifyapi.RecipientDelayed, NextAttemptAt: next}
}

// backoff is a random time up to a limit that doubles with each failure, so
// that those who failed together do not come back together.
func (p Policy) backoff(failures int) time.Duration {
	limit := p.RetryCap
	if shift := failures - 1; shift < 32 && p.RetryBase<<shift < p.RetryCap {
		limit = p.RetryBase << shift
	}
	return 1 + rand.N(limit)
}

// ErrLease is returned when a lease could run out while its mail is sent.
var ErrLease = errors.New("the lease must be longer than the longest SMTP conversation")

// startWithin is how long after a claim a conversation may still begin so that
// it is settled before the lease ends.
func startWithin(lease, longest time.Duration) (time.Duration, error) {
	if lease <= longest {
		return 0, fmt.Errorf("%w: %v is not longer than %v", ErrLease, lease, longest)
	}
	margin := min(5*time.Second, (lease-longest)/4)
	return lease - margin, nil
}

// FirstID is the smallest UUIDv7 (RFC 9562 section 5.7) of a moment: ids of
// earlier milliseconds are below it.
func FirstID(at time.Time) uuid.UUID {
	ms := min(max(at.UnixMilli(), 0), 1<<48-1)
	var id uuid.UUID
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

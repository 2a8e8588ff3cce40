// Package delivery sends stored mails: it claims recipients under a lease,
// sends without a transaction open, and stores the results. It owns the order,
// the retries and the schedule.
//
// Package email decides what a server's reply means. This package must not know
// the HTTP API. No other package may write a recipient's lease or place in the
// queue.
package delivery

import (
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

// Block is how many successive recipients of one notification follow each other in the
// queue, a microsecond apart. They are stored next to each other, so that a claim of a
// block reads a page or two, where single recipients of as many notifications are as many
// pages.
const Block = 20

// Quantum is the distance in the queue between two blocks of one notification, as if
// the second had been requested that much later. A later small notification therefore
// overtakes one with a thousand recipients, which is delayed by no more than the sum of
// its own distances.
const Quantum = 2 * time.Second

// PriorityStep is the distance in the queue between two priorities. It is longer
// than any recipient waits, so that an urgent one is before all others, and a bulk
// one behind them.
const PriorityStep = 365 * 24 * time.Hour

// Rank is the number of steps by which a priority is later than normal.
func Rank(p notifyapi.Priority) int16 {
	switch p {
	case notifyapi.PriorityUrgent:
		return -1
	case notifyapi.PriorityBulk:
		return 1
	case notifyapi.PriorityNormal:
	}
	return 0
}

// Place is the place in the queue of a notification's recipient that is due at the
// given time.
func Place(due time.Time, ordinal int, p notifyapi.Priority) time.Time {
	return due.Add(time.Duration(ordinal/Block)*Quantum + time.Duration(ordinal)*time.Microsecond + time.Duration(Rank(p))*PriorityStep)
}

// normalFrom is the place in the queue that separates urgent recipients from all
// others now, and bulkFrom the one that separates bulk from all others.
func normalFrom(now time.Time) time.Time { return now.Add(-PriorityStep / 2) }
func bulkFrom(now time.Time) time.Time   { return now.Add(PriorityStep / 2) }

// Policy determines when a failed try is repeated.
type Policy struct {
	RetryBase   time.Duration // the longest wait after the first failure
	RetryCap    time.Duration // the longest wait at all
	GiveUpAfter time.Duration // since the recipient was due
}

// maxUncertain is how many tries of a recipient may end uncertain. Each of them
// may have delivered the mail, so that each repeat may be a duplicate.
const maxUncertain = 4

// Step is the state of a recipient after a try.
type Step struct {
	Status        notifyapi.RecipientStatus
	Finished      bool
	NextAttemptAt time.Time
}

// History describes a recipient's tries since it was due.
type History struct {
	DueAt     time.Time // when it was due, or due again by a manual retry
	ExpiresAt time.Time // when it is not tried any more; zero for never
	Failures  int
	Uncertain int // of the failures
}

// expiresBy reports whether the recipient is not tried any more at a time.
func (h History) expiresBy(at time.Time) bool {
	return !h.ExpiresAt.IsZero() && !at.Before(h.ExpiresAt)
}

// After returns the step that follows a try that ended at the given time, after
// the tries of h.
func (p Policy) After(o notifyapi.Outcome, h History, at time.Time) Step {
	giveUpAt := h.DueAt.Add(p.GiveUpAfter)
	switch o {
	case notifyapi.OutcomeSent:
		return Step{Status: notifyapi.RecipientSent, Finished: true, NextAttemptAt: at}
	case notifyapi.OutcomePermanent:
		return Step{Status: notifyapi.RecipientFailed, Finished: true, NextAttemptAt: at}
	case notifyapi.OutcomeUncertain:
		next := at.Add(p.uncertainBackoff(h.Uncertain + 1))
		finished := h.Uncertain+1 >= maxUncertain || next.After(giveUpAt) || h.expiresBy(next)
		return Step{Status: notifyapi.RecipientUncertain, Finished: finished, NextAttemptAt: next}
	}
	next := at.Add(p.backoff(h.Failures + 1))
	if next.After(giveUpAt) {
		return Step{Status: notifyapi.RecipientFailed, Finished: true, NextAttemptAt: at}
	}
	if h.expiresBy(next) {
		return Step{Status: notifyapi.RecipientExpired, Finished: true, NextAttemptAt: at}
	}
	return Step{Status: notifyapi.RecipientDelayed, NextAttemptAt: next}
}

// backoff is a random time up to a limit that doubles with each failure, so
// that recipients that failed together are not retried together.
func (p Policy) backoff(failures int) time.Duration {
	limit := p.RetryCap
	if shift := failures - 1; shift < 32 && p.RetryBase<<shift < p.RetryCap {
		limit = p.RetryBase << shift
	}
	return 1 + rand.N(limit)
}

// uncertainBackoff grows from 10 times RetryBase by a factor of 4 up to
// RetryCap, less a random part of a quarter at most. It is longer than backoff,
// since the server may still be processing the mail.
func (p Policy) uncertainBackoff(uncertain int) time.Duration {
	limit := p.RetryCap
	if d := 10 * p.RetryBase << (2 * min(uncertain-1, 10)); d > 0 && d < limit {
		limit = d
	}
	return limit - rand.N(limit/4+1)
}

// afterThrottling returns when a throttled mail is tried again. It costs no
// attempt, unless the time to give up has passed.
func (p Policy) afterThrottling(h History, at time.Time) (waitUntil time.Time, givenUp bool) {
	waitUntil = at.Add(p.RetryBase/2 + rand.N(p.RetryBase/2+1))
	return waitUntil, waitUntil.After(h.DueAt.Add(p.GiveUpAfter))
}

// FirstID is the smallest UUIDv7 (RFC 9562 section 5.7) of a millisecond.
func FirstID(at time.Time) uuid.UUID {
	ms := min(max(at.UnixMilli(), 0), 1<<48-1)
	var id uuid.UUID
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

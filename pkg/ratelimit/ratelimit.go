// Package ratelimit bounds how many requests each caller makes, over all replicas of
// a service together: token buckets in PostgreSQL (table request_limits), of which
// each replica has a copy in memory.
//
// A request takes its token from the copy. When a caller has used up half of the
// replica's share, one statement charges the shared buckets of all such callers and
// brings back what is left of them. So what a caller takes is charged in the end,
// and what all replicas together give beyond the limit is at most their shares,
// which the caller gets less afterwards. While the database doesn't answer, each
// replica limits by itself.
package ratelimit

import (
	"crypto/sha256"
	"net/netip"
	"time"
)

// Policy is one limit: each caller has a token bucket that holds Burst tokens and
// gets PerMinute new ones a minute, and each request takes one. Without both it
// limits nobody.
type Policy struct {
	Name      string // ASCII without quotes: it is in headers and metrics
	PerMinute int
	Burst     int
}

// Quota is the state of one caller's bucket: Remaining of Limit tokens are left, as
// far as this replica knows, and in Reset the bucket is full. Window is how long an
// empty bucket takes to be full.
type Quota struct {
	Policy           string
	Limit, Remaining int
	Window, Reset    time.Duration
}

const (
	// unknownShare and knownShare are the divisors for a replica's share of the
	// tokens of a bucket: a small share of a full bucket while the replica doesn't
	// know what is left, and a larger one of what it knows to be left.
	unknownShare = 20
	knownShare   = 8

	// freshness is how long an answer of the shared bucket counts as known.
	freshness = time.Second

	// steadyShare is the time of which a share holds the new tokens at least, so that
	// a caller at the limit doesn't need a settlement for every request.
	steadyShare = 50 * time.Millisecond

	// idleWindows is how many windows without a request make a replica forget a
	// caller, with fewer unsettled tokens than half an unknown share. What a caller
	// can gain by that is 1/160 of the rate for each replica.
	idleWindows = 4
)

// refill returns how many tokens come in d.
func (p Policy) refill(d time.Duration) float64 { return d.Seconds() * float64(p.PerMinute) / 60 }

// duration is how long tokens take to come.
func (p Policy) duration(tokens float64) time.Duration {
	return time.Duration(max(tokens, 0) / float64(p.PerMinute) * float64(time.Minute))
}

func (p Policy) window() time.Duration { return p.duration(float64(p.Burst)) }

// bucket is what one replica knows of a caller's bucket. Times count from the start
// of the limiter.
type bucket struct {
	level     float64       // tokens left at the time at, negative when too many were taken
	unsettled int           // taken here and not yet from the shared bucket
	at        time.Duration // of the last request or settlement
	learned   time.Duration // of the last settlement; negative before the first
}

func newBucket(p Policy, now time.Duration) bucket {
	return bucket{level: float64(p.Burst), at: now, learned: -freshness}
}

type outcome int

const (
	taken   outcome = iota
	refused         // the bucket is empty
	waiting         // this replica's share is used up, and the shared bucket may have more
)

// take takes one token. With shared the replica takes no more than its share
// between two settlements; without, the bucket is the replica's own.
func (b *bucket) take(p Policy, now time.Duration, shared bool) outcome {
	b.level = b.levelAt(p, now)
	b.at = max(b.at, now)
	switch {
	case b.level < 1:
		return refused
	case shared && float64(b.unsettled)+1 > b.share(p, now):
		return waiting
	}
	b.level--
	b.unsettled++
	return taken
}

func (b *bucket) levelAt(p Policy, now time.Duration) float64 {
	return min(b.level+p.refill(max(now-b.at, 0)), float64(p.Burst))
}

// share is how many tokens the replica takes between two settlements, at least one.
// All replicas together take too many by at most their shares, which the next
// settlements charge, so that the caller gets fewer later.
func (b *bucket) share(p Policy, now time.Duration) float64 {
	share := float64(p.Burst) / unknownShare
	if now-b.learned < freshness {
		share = (b.level + float64(b.unsettled)) / knownShare
	}
	return max(share, p.refill(steadyShare), 1)
}

// due reports whether the shared bucket should be charged now: half of the share is
// used up.
func (b *bucket) due(p Policy, now time.Duration) bool {
	return b.unsettled > 0 && 2*float64(b.unsettled) >= b.share(p, now)
}

// settle records that n of the unsettled tokens were charged to the shared bucket,
// which then had left.
func (b *bucket) settle(p Policy, now time.Duration, n int, left float64) {
	b.unsettled -= n
	b.level = min(left, float64(p.Burst)) - float64(b.unsettled)
	b.at, b.learned = now, now
}

// idle reports whether the caller can be forgotten.
func (b *bucket) idle(p Policy, now time.Duration) bool { return now-b.at >= idleWindows*p.window() }

// quota describes the bucket to its caller.
func (b *bucket) quota(p Policy) Quota {
	return Quota{
		Policy: p.Name, Limit: p.Burst, Remaining: int(max(b.level, 0)),
		Window: p.window(), Reset: p.duration(float64(p.Burst) - b.level),
	}
}

// charge is how many of n tokens are charged: at most a whole bucket, so that a
// caller is not refused for long after an outage of the database.
func (p Policy) charge(n int) int { return min(n, p.Burst) }

// key names a caller's shared bucket. It is a hash, so that the table holds no
// addresses.
func key(policy, caller string) [16]byte {
	sum := sha256.Sum256([]byte(policy + ":" + caller))
	return [16]byte(sum[:16])
}

// Network names the network of one client: its IPv4 address, or the /64 that an
// IPv6 client usually has for itself.
func Network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

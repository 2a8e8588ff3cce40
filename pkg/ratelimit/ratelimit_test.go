package ratelimit

import (
	"net/netip"
	"testing"
	"time"
)

var policy = Policy{Name: "user", PerMinute: 600, Burst: 100} // 10 a second

// takeAll takes tokens until none is given, and returns how many it took and why it
// ended.
func takeAll(b *bucket, now time.Duration, shared bool) (n int, v outcome) {
	for n < 10_000 {
		if v = b.take(policy, now, shared); v != taken {
			break
		}
		n++
	}
	return n, v
}

func TestBucketHoldsItsBurstAndRefillsAtItsRate(t *testing.T) {
	b := newBucket(policy, 0)
	for _, step := range []struct {
		at   time.Duration
		want int
	}{{0, 100}, {0, 0}, {99 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {time.Second, 9}, {time.Hour, 100}} {
		if n, v := takeAll(&b, step.at, false); n != step.want || v != refused {
			t.Errorf("after %s: %d tokens, want %d; outcome %d", step.at, n, step.want, v)
		}
	}
}

func TestShareIsSmallUntilTheSharedBucketIsKnown(t *testing.T) {
	b := newBucket(policy, 0)
	if n, v := takeAll(&b, 0, true); n != 5 || v != waiting {
		t.Errorf("unknown: %d tokens, outcome %d", n, v)
	}
	b.settle(policy, 0, 5, 80)
	if n, v := takeAll(&b, 0, true); n != 10 || v != waiting {
		t.Errorf("80 are left: %d tokens, outcome %d", n, v)
	}
	b.settle(policy, 0, 10, 8)
	if n, _ := takeAll(&b, 0, true); n != 1 {
		t.Errorf("8 are left: %d tokens", n)
	}
	b.settle(policy, 0, 1, -7)
	if n, v := takeAll(&b, 0, true); n != 0 || v != refused {
		t.Errorf("7 too many were taken: %d tokens, outcome %d", n, v)
	}
	if n, _ := takeAll(&b, 790*time.Millisecond, true); n != 0 {
		t.Errorf("before they have come back: %d tokens", n)
	}
	if n, _ := takeAll(&b, 810*time.Millisecond, true); n != 1 {
		t.Errorf("afterwards: %d tokens", n)
	}
}

func TestSettlementKeepsWhatWasTakenMeanwhile(t *testing.T) {
	b := newBucket(policy, 0)
	b.settle(policy, 0, 0, 50)
	for range 4 {
		b.take(policy, 0, true)
	}
	b.settle(policy, 0, 3, 47) // the fourth came after the statement was sent
	if b.unsettled != 1 || b.level != 46 {
		t.Errorf("%d unsettled, level %v", b.unsettled, b.level)
	}
}

func TestSettlementIsDueAtHalfOfTheShare(t *testing.T) {
	b := newBucket(policy, 0)
	for i, want := range []bool{false, false, false, true, true} {
		if due := b.due(policy, 0); due != want {
			t.Errorf("after %d tokens: due %t", i, due)
		}
		b.take(policy, 0, true)
	}
}

func TestCallerIsForgottenAfterFourWindowsWithoutARequest(t *testing.T) {
	b := newBucket(policy, 0)
	b.take(policy, time.Second, true)
	for at, want := range map[time.Duration]bool{40 * time.Second: false, 41 * time.Second: true} {
		if b.idle(policy, at) != want {
			t.Errorf("after %s: %t", at, !want)
		}
	}
}

func TestQuotaDescribesTheBucket(t *testing.T) {
	b := newBucket(policy, 0)
	b.settle(policy, 0, 0, 30)
	if q, want := b.quota(policy), (Quota{"user", 100, 30, 10 * time.Second, 7 * time.Second}); q != want {
		t.Errorf("%+v, want %+v", q, want)
	}
	b.settle(policy, 0, 0, -10)
	if q := b.quota(policy); q.Remaining != 0 || q.Reset != 11*time.Second {
		t.Errorf("empty: %+v", q)
	}
}

func TestClientIsAnIPv4AddressOrAnIPv6Slash64(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Network(netip.MustParseAddr(address)); got != want {
			t.Errorf("Network(%s) = %s, want %s", address, got, want)
		}
	}
}

package httpapi

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// RateLimit is one quota of a client: Limit requests in any Window, of which
// Remaining are left until Reset. Policy is its name, in ASCII without quotes.
type RateLimit struct {
	Policy           string
	Limit, Remaining int
	Window, Reset    time.Duration
}

// SetRateLimits sets the fields RateLimit-Policy and RateLimit (IETF draft
// ratelimit-headers-10) of the answer to the request of ctx, whatever its
// status. Without limits, and outside a request, it does nothing.
func SetRateLimits(ctx context.Context, limits ...RateLimit) {
	info := infoOf(ctx)
	if info == nil || len(limits) == 0 {
		return
	}
	policies, states := make([]string, 0, len(limits)), make([]string, 0, len(limits))
	for _, l := range limits {
		policies = append(policies, fmt.Sprintf("%q;q=%d;w=%d", l.Policy, l.Limit, wholeSeconds(l.Window)))
		states = append(states, fmt.Sprintf("%q;r=%d;t=%d", l.Policy, max(l.Remaining, 0), wholeSeconds(l.Reset)))
	}
	h := info.response.Header()
	h["Ratelimit-Policy"] = []string{strings.Join(policies, ", ")}
	h["Ratelimit"] = []string{strings.Join(states, ", ")}
}

// wholeSeconds rounds up, so that a client that waits that long waits enough.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

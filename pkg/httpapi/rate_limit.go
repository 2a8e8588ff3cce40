package httpapi

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"fixdesk/pkg/errs"
)

// RateLimit is one quota of a client: Limit requests in any Window, of which
// Remaining are left until Reset. Policy is its name, in ASCII without quotes.
type RateLimit struct {
	Policy           string
	Limit, Remaining int
	Window, Reset    time.Duration
}

// SetRateLimits adds limits to the fields RateLimit-Policy and RateLimit (IETF draft
// ratelimit-headers-10) of the answer to the request of ctx, whatever its status.
// Limits of an earlier call are replaced, except the caller's own, which
// Config.Limit gives. Without limits, and outside a request, it does nothing.
func SetRateLimits(ctx context.Context, limits ...RateLimit) {
	info := infoOf(ctx)
	if info == nil || len(limits) == 0 {
		return
	}
	info.writeRateLimits(append(slices.Clip(limits), info.quota))
}

func (info *requestInfo) writeRateLimits(limits []RateLimit) {
	policies, states := make([]byte, 0, 64), make([]byte, 0, 64)
	for _, l := range limits {
		if l.Limit == 0 {
			continue
		}
		if len(policies) > 0 {
			policies, states = append(policies, ", "...), append(states, ", "...)
		}
		policies = l.item(policies, ";q=", l.Limit, ";w=", l.Window)
		states = l.item(states, ";r=", max(l.Remaining, 0), ";t=", l.Reset)
	}
	h := info.response.Header()
	h["Ratelimit-Policy"] = []string{string(policies)}
	h["Ratelimit"] = []string{string(states)}
}

// item appends the policy's name with a number and a time in seconds.
func (l RateLimit) item(b []byte, number string, n int, seconds string, d time.Duration) []byte {
	b = strconv.AppendQuote(b, l.Policy)
	b = strconv.AppendInt(append(b, number...), int64(n), 10)
	return strconv.AppendInt(append(b, seconds...), int64(wholeSeconds(d)), 10)
}

// wholeSeconds rounds up, so that a client that waits that long waits enough.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// limit counts one request of a caller to an operation, where Config.Limit is set.
// refusal is the answer of Authenticate: an outage is not counted.
func (a *API) limit(ctx context.Context, info *requestInfo, refusal error) error {
	if a.cfg.Limit == nil {
		return nil
	}
	if e := errs.As(refusal); refusal != nil && (e == nil || e.Kind != errs.Unauthenticated && e.Kind != errs.Forbidden) {
		return nil
	}
	quota, err := a.cfg.Limit(ctx, info.authenticated)
	if info.quota = quota; quota.Limit > 0 {
		info.writeRateLimits([]RateLimit{quota})
	}
	return err
}

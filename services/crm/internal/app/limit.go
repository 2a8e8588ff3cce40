package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/background"
	"fixdesk/pkg/config"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
	"fixdesk/pkg/ratelimit"
	"fixdesk/services/crm/internal/identity"
)

// The policies of rate limits, as clients see them in headers.
const (
	userPolicy    = "user"
	networkPolicy = "network"
)

func (a *App) newLimiter(registry *prometheus.Registry, metrics *background.Metrics) *ratelimit.Limiter {
	policy := func(name string, rate config.RateLimit) ratelimit.Policy {
		return ratelimit.Policy{Name: name, PerMinute: rate.PerMinute, Burst: rate.Burst}
	}
	return ratelimit.New(ratelimit.Config{
		Pool: a.pool, Now: time.Now, Log: a.log, Registry: registry, Metrics: metrics,
		Policies: []ratelimit.Policy{policy(userPolicy, a.config.RateLimit), policy(networkPolicy, a.config.RateLimitNetwork)},
	})
}

// limit counts a request. All sessions and API keys of a user share one quota.
func (a *App) limit(ctx context.Context, authenticated bool) (httpapi.RateLimit, error) {
	policy, id := userPolicy, ""
	if authenticated {
		id = identity.PrincipalFrom(ctx).UserID.String()
	} else {
		policy, id = networkPolicy, ratelimit.Network(obs.Client(ctx))
	}
	quota, err := a.limiter.Take(ctx, policy, id)
	return httpapi.RateLimit(quota), err
}

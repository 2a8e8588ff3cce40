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
	"fixdesk/services/notification/internal/request"
)

// The policies of rate limits, as clients see them in headers.
const (
	clientPolicy  = "client"
	networkPolicy = "network"
)

func (a *App) newLimiter(registry *prometheus.Registry, metrics *background.Metrics) *ratelimit.Limiter {
	policy := func(name string, rate config.RateLimit) ratelimit.Policy {
		return ratelimit.Policy{Name: name, PerMinute: rate.PerMinute, Burst: rate.Burst}
	}
	return ratelimit.New(ratelimit.Config{
		Pool: a.pool, Now: time.Now, Log: a.log, Registry: registry, Metrics: metrics,
		Policies: []ratelimit.Policy{policy(clientPolicy, a.config.RateLimit), policy(networkPolicy, a.config.RateLimitNetwork)},
	})
}

// limit counts a request. The caller is the subject of the token.
func (a *App) limit(ctx context.Context, authenticated bool) (httpapi.RateLimit, error) {
	policy, id := clientPolicy, ""
	if authenticated {
		id = request.Caller(ctx)
	} else {
		policy, id = networkPolicy, ratelimit.Network(obs.Client(ctx))
	}
	quota, err := a.limiter.Take(ctx, policy, id)
	return httpapi.RateLimit(quota), err
}

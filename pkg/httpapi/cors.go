package httpapi

import (
	"net/http"
	"slices"
	"time"

	"github.com/rs/cors"
)

const preflightAge = 10 * time.Minute

// withCORS lets the pages of the configured origins call the API. Without
// origins there are no CORS headers at all. The API takes no cookies, so
// credentials are never allowed.
func withCORS(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		// AllowedOrigins would accept wildcards and ignore case.
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, origin) },
		AllowedMethods:  append([]string{http.MethodHead}, probedMethods...),
		AllowedHeaders: []string{
			"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "X-Request-ID",
		},
		ExposedHeaders: []string{"ETag", "Idempotency-Replayed", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-ID"},
		MaxAge:         int(preflightAge.Seconds()),
	}).Handler(next)
}

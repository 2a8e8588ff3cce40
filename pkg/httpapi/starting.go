package httpapi

import (
	"net/http"
	"strings"

	"fixdesk/pkg/errs"
)

// SetStarting makes a service that isn't ready to work yet answer: /healthz
// says that the process lives, /readyz and the paths under /v1 are answered 503
// with the reason, for example "The database is being migrated.". "" ends that.
func (a *API) SetStarting(reason string) {
	if reason == "" {
		a.starting.Store(nil)
		return
	}
	a.starting.Store(errs.New(errs.Unavailable, errs.CodeUnavailable, reason))
}

// refuseWhileStarting is a middleware of the router.
func (a *API) refuseWhileStarting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.starting.Load(); err != nil && (r.URL.Path == "/readyz" || strings.HasPrefix(r.URL.Path, "/v1/")) {
			a.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

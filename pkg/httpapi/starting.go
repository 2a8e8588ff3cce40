package httpapi

import (
	"net/http"
	"strings"

	"fixdesk/pkg/errs"
)

// SetStarting marks a service that isn't ready yet: /healthz is answered 200,
// /readyz and the paths under /v1 are answered 503 with the reason, for example
// "The database is being migrated.". "" ends that. The reason is logged once, not
// for each request.
func (a *API) SetStarting(reason string) {
	if reason == "" {
		a.starting.Store(nil)
		return
	}
	a.cfg.Logger.Info("not ready yet", "reason", reason)
	a.starting.Store(errs.New(errs.Unavailable, errs.CodeUnavailable, reason))
}

// refuseWhileStarting is a middleware of the router.
func (a *API) refuseWhileStarting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := a.starting.Load()
		if err != nil && strings.HasPrefix(r.URL.Path, "/v1/") {
			a.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

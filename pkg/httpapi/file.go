package httpapi

import (
	"net/http"
	"strings"
)

// Page adds a page for people at a path. Requests that don't accept HTML get the
// problem of a path at which nothing is.
func (a *API) Page(path string, h http.HandlerFunc) {
	a.handle(http.MethodGet, path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			a.fail(w, r, errNoSuchPath)
			return
		}
		h(w, r)
	})
}

// File adds a file at a path. Route is its name in the log and the metrics, which
// many files may share.
func (a *API) File(path, route string, h http.HandlerFunc) {
	a.router.Get(path, func(w http.ResponseWriter, r *http.Request) {
		if info := infoOf(r.Context()); info != nil {
			info.route = route
		}
		h(w, r)
	})
}

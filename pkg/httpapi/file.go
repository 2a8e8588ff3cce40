package httpapi

import (
	"net/http"
	"path"
	"strings"
)

// Page adds a page for people at a path. Requests that don't accept HTML get the
// problem of a path at which nothing is.
func (a *API) Page(at string, h http.HandlerFunc) {
	a.handle(http.MethodGet, at, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		if !wantsHTML(r) {
			a.fail(w, r, errNoSuchPath)
			return
		}
		h(w, r)
	})
}

// MissingPage sets the page that browsers get at a path where nothing is, outside of
// the API and of files. The handler answers 404.
func (a *API) MissingPage(h http.HandlerFunc) { a.missingPage = h }

func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// isPage reports whether somebody looks for a page.
func isPage(r *http.Request) bool {
	return r.Method == http.MethodGet && wantsHTML(r) && !strings.HasPrefix(r.URL.Path, "/v1/") && path.Ext(r.URL.Path) == ""
}

// File adds a file at a path. Route is its name in the log and the metrics, which
// many files may share.
func (a *API) File(at, route string, h http.HandlerFunc) { a.handleAs(http.MethodGet, at, route, h) }

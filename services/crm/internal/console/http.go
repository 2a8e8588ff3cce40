package console

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/identity"
)

// paths are the addresses of pages. Which page it is, the browser decides.
var paths = []string{
	"/", "/register", "/verify", "/reset", "/me", "/tickets", "/tickets/{number}", "/new", "/queue",
	"/admin/registrations", "/admin/users", "/admin/users/{id}", "/admin/reports", "/admin/audit",
	"/ops/notifications", "/ops/notifications/{id}", "/ops/outbox", "/ops/health",
}

// policy allows a page its own files and calls of this host, and nothing inline
// (Content Security Policy Level 3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Config is what the console needs.
type Config struct {
	Users       *identity.Service
	Secure      bool // browsers reach the service by https
	Development bool // the page that shows the parts is served
}

// Mount adds the pages, their files, and the session in a cookie.
func Mount(api *httpapi.API, c Config) {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(fmt.Errorf("console: %w", err))
	}
	p, err := loadPages(files)
	if err != nil {
		panic(fmt.Errorf("console: %w", err))
	}
	for _, path := range paths {
		api.Page(path, p.serveIndex(http.StatusOK))
	}
	api.MissingPage(p.serveIndex(http.StatusNotFound))
	if c.Development {
		api.Page("/assets/parts.html", p.serveIndex(http.StatusOK))
	}
	for name, a := range p.assets {
		api.File("/assets/"+name, "/assets/", a.serve)
	}
	registerSession(api, c.Users, c.Secure)
}

// serveIndex serves the one page, with a status. It is asked for each time, since it
// names the assets of this version.
func (p *pages) serveIndex(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"] = []string{policy}
		h["Cache-Control"] = []string{"no-cache"}
		p.index.send(w, r, status)
	}
}

// serve serves a file that never changes under its name.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	w.Header()["Cache-Control"] = []string{"public, max-age=31536000, immutable"}
	a.send(w, r, http.StatusOK)
}

func (a *asset) send(w http.ResponseWriter, r *http.Request, status int) {
	h := w.Header()
	h["Content-Type"] = []string{a.mediaType}
	h["Vary"] = append(h["Vary"], "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h["Content-Encoding"] = []string{"gzip"}
		w.WriteHeader(status)
		_, _ = w.Write(a.compressed)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(a.content)
}

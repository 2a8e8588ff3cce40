package console

import (
	"fmt"
	"io/fs"
	"net/http"
	"sync"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/eventstream"
	"fixdesk/services/crm/internal/identity"
)

// paths are the addresses of pages. Which page it is, the browser decides.
var paths = []string{
	"/", "/register", "/verify", "/reset", "/unsubscribe", "/me", "/tickets", "/tickets/{number}", "/new", "/queue",
	"/admin/registrations", "/admin/users", "/admin/users/{id}", "/admin/reports", "/admin/audit",
	"/ops/notifications", "/ops/notifications/{id}", "/ops/outbox", "/ops/suppressions", "/ops/inbound", "/ops/health",
}

// policy allows a page its own files and calls of this host, and nothing inline
// (Content Security Policy Level 3).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; font-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Config is what the console needs.
type Config struct {
	Users       *identity.Service
	Events      *eventstream.Service
	Secure      bool // browsers reach the service by https
	Development bool // the page that shows the parts is served
}

var loaded = sync.OnceValues(func() (*pages, error) {
	files, err := fs.Sub(embedded, "page")
	if err != nil {
		return nil, err
	}
	return loadPages(files)
})

// Mount adds the pages, their files, and the session in a cookie.
func Mount(api *httpapi.API, c Config) {
	p, err := loaded()
	if err != nil {
		panic(fmt.Errorf("console: %w", err))
	}
	// The page is asked for each time, since it names the assets of this version.
	page := httpapi.Static{ContentType: p.index.mediaType, Content: p.index.content, Policy: policy}
	index := api.ServeStatic(page)
	for _, path := range paths {
		api.Page(path, index)
	}
	if c.Development {
		api.Page("/assets/parts.html", index)
	}
	page.Status = http.StatusNotFound
	api.MissingPage(api.ServeStatic(page))
	for name, a := range p.assets {
		api.File("/assets/"+name, "/assets/", api.ServeStatic(httpapi.Static{
			ContentType: a.mediaType, Content: a.content, Cache: "public, max-age=31536000, immutable", Small: true,
		}))
	}
	registerSession(api, c)
}

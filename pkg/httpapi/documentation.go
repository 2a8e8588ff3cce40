package httpapi

import (
	"embed"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
)

// browser is Swagger UI (Apache License 2.0) and the page that starts it. It
// loads nothing from another host.
//
//go:embed docs
var browser embed.FS

// browserFiles are the files of /docs, by path, with their media type.
var browserFiles = map[string]string{ //nolint:gosec // tokens.css has colours
	"/docs":                      "text/html; charset=utf-8",
	"/docs/start.js":             "text/javascript; charset=utf-8",
	"/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"/docs/swagger-ui.css":       "text/css; charset=utf-8",
	"/docs/tokens.css":           "text/css; charset=utf-8",
	"/docs/style.css":            "text/css; charset=utf-8",
	"/docs/icon.svg":             "image/svg+xml",
}

// browserPolicy allows the page its own scripts and calls of this host, and the
// style attributes and data: icons of Swagger UI.
const browserPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mountDocumentation adds the routes of the OpenAPI document, which is written when it
// is first asked for, and of the API browser, whose files are read then.
func (a *API) mountDocumentation() {
	document := sync.OnceValue(func() http.HandlerFunc {
		content, err := a.OpenAPI()
		if err != nil {
			panic(fmt.Errorf("httpapi: write the OpenAPI document: %w", err))
		}
		return a.ServeStatic(Static{ContentType: "application/json", Content: content})
	})
	a.handle(http.MethodGet, "/openapi.json", func(w http.ResponseWriter, r *http.Request) { document()(w, r) })
	for file, mediaType := range browserFiles {
		handler := sync.OnceValue(func() http.HandlerFunc {
			return a.ServeStatic(Static{ContentType: mediaType, Content: browserContent(file), Policy: browserPolicy})
		})
		a.handle(http.MethodGet, file, func(w http.ResponseWriter, r *http.Request) { handler()(w, r) })
	}
}

// browserContent reads one of browserFiles. It is read when it is first asked for, since
// that copies it.
func browserContent(file string) []byte {
	name := path.Join("docs", strings.TrimPrefix(file, "/docs"))
	if file == "/docs" {
		name = "docs/index.html"
	}
	content, err := browser.ReadFile(name)
	if err != nil {
		panic(fmt.Errorf("httpapi: read an embedded file: %w", err))
	}
	return content
}

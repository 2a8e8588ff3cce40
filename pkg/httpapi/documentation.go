package httpapi

import (
	"bytes"
	"compress/gzip"
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
var browserFiles = map[string]string{
	"/docs":                      "text/html; charset=utf-8",
	"/docs/start.js":             "text/javascript; charset=utf-8",
	"/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"/docs/swagger-ui.css":       "text/css; charset=utf-8",
}

// browserPolicy allows the page its own scripts and calls of this host, and the
// style attributes and data: icons of Swagger UI.
const browserPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// mountDocumentation adds the routes of the OpenAPI document, as it is now, and of
// the API browser.
func (a *API) mountDocumentation() {
	document, err := a.OpenAPI()
	if err != nil {
		panic(fmt.Errorf("httpapi: write the OpenAPI document: %w", err))
	}
	a.handle(http.MethodGet, "/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(document)
	})
	for file, contentType := range browserFiles {
		name := path.Join("docs", strings.TrimPrefix(file, "/docs"))
		if file == "/docs" {
			name = "docs/index.html"
		}
		a.handle(http.MethodGet, file, serveFile(name, contentType))
	}
}

// serveFile serves an embedded file, compressed if the client takes that.
func serveFile(name, contentType string) http.HandlerFunc {
	content, err := browser.ReadFile(name)
	if err != nil {
		panic(fmt.Errorf("httpapi: read an embedded file: %w", err))
	}
	compressed := sync.OnceValue(func() []byte {
		var buf bytes.Buffer
		zip := gzip.NewWriter(&buf)
		_, _ = zip.Write(content) // into memory: can't fail
		_ = zip.Close()
		return buf.Bytes()
	})
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = []string{contentType}
		h["Content-Security-Policy"] = []string{browserPolicy}
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			_, _ = w.Write(content)
			return
		}
		h["Content-Encoding"] = []string{"gzip"}
		_, _ = w.Write(compressed())
	}
}

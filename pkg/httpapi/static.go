package httpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
)

// serveStatic serves content that is the same for everybody while the process
// lives, with an ETag, and compressed if the client takes that.
func (a *API) serveStatic(contentType string, content []byte) http.HandlerFunc {
	hash := fingerprint(content)
	variants := map[coding]func() []byte{identity: func() []byte { return content }}
	for c := range encoders {
		variants[c] = sync.OnceValue(func() []byte {
			var b bytes.Buffer
			_ = writeEncoded(&b, c, content) // into memory: can't fail
			return b.Bytes()
		})
	}
	return func(w http.ResponseWriter, r *http.Request) {
		choice, ok := negotiate(r.Header["Accept-Encoding"], true)
		if !ok {
			a.fail(w, r, errNoCoding)
			return
		}
		if len(content) <= compressFrom && !choice.always {
			choice.coding = identity
		}
		h, tag := w.Header(), entityTag("", hash, choice.coding)
		h["Etag"], h["Cache-Control"] = []string{tag}, []string{"no-cache"}
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
		if matchesAny(r.Header["If-None-Match"], tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := variants[choice.coding]()
		if choice.coding != identity {
			h["Content-Encoding"] = []string{string(choice.coding)}
		}
		h["Content-Type"] = []string{contentType}
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body)
	}
}

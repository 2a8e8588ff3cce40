package httpapi

import (
	"bytes"
	"cmp"
	"net/http"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Static is content that is the same for everybody while the process lives.
type Static struct {
	ContentType string
	Content     []byte
	Status      int    // 0 means 200
	Cache       string // Cache-Control; "" means no-cache
	Policy      string // Content-Security-Policy; "" means that of every answer
	Small       bool   // it is compressed below 1 KiB too
}

// ServeStatic serves s with an ETag, and compressed with gzip if the client takes that.
// It hashes and compresses the content once, when it is first asked for. (zstd at its best makes
// such files no smaller, and needs 64 MiB for it.)
func (a *API) ServeStatic(s Static) http.HandlerFunc {
	hash, status := sync.OnceValue(func() string { return fingerprint(s.Content) }), cmp.Or(s.Status, http.StatusOK)
	zipped := sync.OnceValue(func() []byte { return zipOnce(s.Content) })
	return func(w http.ResponseWriter, r *http.Request) {
		choice, ok := negotiate(r.Header["Accept-Encoding"], gzipped)
		if !ok {
			a.fail(w, r, errNoCoding)
			return
		}
		if len(s.Content) <= compressFrom && !s.Small && !choice.always {
			choice.coding = identity
		}
		h, tag := w.Header(), entityTag("", hash(), choice.coding)
		h["Etag"], h["Cache-Control"] = []string{tag}, []string{cmp.Or(s.Cache, "no-cache")}
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
		if s.Policy != "" {
			h["Content-Security-Policy"] = []string{s.Policy}
		}
		if status == http.StatusOK && matchesAny(r.Header["If-None-Match"], tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := s.Content
		if choice.coding != identity {
			body = zipped()
			h["Content-Encoding"] = []string{string(choice.coding)}
		}
		h["Content-Type"] = []string{s.ContentType}
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

// zipOnce compresses as much as gzip can, since the result is kept.
func zipOnce(content []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a valid level
	_, _ = w.Write(content)                               // into memory: can't fail
	_ = w.Close()
	return b.Bytes()
}

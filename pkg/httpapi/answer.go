package httpapi

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
)

// answer holds the whole answer of an operation until it is complete, since its
// headers depend on its body: ETag, 304, Content-Encoding and Content-Length.
type answer struct {
	*response
	body   *bytes.Buffer
	status int
}

// revalidate lets a browser keep an answer and use it only after the service has
// confirmed it.
const revalidate = "private, no-cache"

// WriteHeader sets the status.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write appends to the body.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// send sends what was collected, unless a stream was sent in its place.
func (a *answer) send(r *http.Request, d *details) {
	if a.response.status != 0 {
		return
	}
	if a.body.Len() == 0 {
		a.response.WriteHeader(a.status)
		return
	}
	c, h := infoOf(r.Context()).choice, a.Header()
	if a.body.Len() <= compressFrom && !c.always {
		c.coding = identity
	}
	if d.compresses() {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
	reads := r.Method == http.MethodGet && d.Resource && a.status == http.StatusOK
	if version := h.Get("ETag"); version != "" || reads {
		tag := entityTag(version, fingerprint(a.body.Bytes()), c.coding)
		h["Etag"] = []string{tag}
		if reads {
			h["Cache-Control"] = []string{revalidate}
			if matchesAny(r.Header["If-None-Match"], tag) {
				delete(h, "Content-Type")
				a.response.WriteHeader(http.StatusNotModified)
				return
			}
		}
	}
	a.sendBody(c.coding)
}

// sendBody sends status and body, with its length.
func (a *answer) sendBody(c coding) {
	body := a.body
	if c != identity {
		body = newBuffer()
		defer releaseBuffer(body)
		_ = writeEncoded(body, c, a.body.Bytes()) // into memory: can't fail
		a.Header()["Content-Encoding"] = []string{string(c)}
	}
	a.Header()["Content-Length"] = []string{strconv.Itoa(body.Len())}
	a.response.WriteHeader(a.status)
	_, _ = a.response.Write(body.Bytes())
}

// buffers hold the bodies of requests and answers.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxPooled is the size in bytes above which a buffer isn't kept.
const maxPooled = 2 * maxBody

func newBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

func releaseBuffer(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

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

// The values of headers that many answers have; nothing changes them.
var (
	revalidated    = []string{revalidate}
	variesByCoding = []string{"Accept-Encoding"}
)

// ownLength is the size in bytes of a body that net/http holds whole, so that it adds
// the length itself.
const ownLength = 2047

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
	info, h := infoOf(r.Context()), a.Header()
	coding := info.choice.of(a.body.Len())
	if d.compresses() {
		if vary := h["Vary"]; len(vary) > 0 {
			h["Vary"] = append(vary, variesByCoding...)
		} else {
			h["Vary"] = variesByCoding
		}
	}
	if info.unchanged != "" {
		a.notModified(info.unchanged)
		return
	}
	reads := r.Method == http.MethodGet && d.conditional() && a.status == http.StatusOK
	if version := first(h["Etag"]); version != "" || reads {
		sum := fingerprint(a.body.Bytes())
		tag := entityTag(version, sum, coding)
		h["Etag"] = []string{tag}
		if reads && info.remember != nil {
			info.remember(sum, a.body.Len())
		}
		if reads && d.Resource {
			h["Cache-Control"] = revalidated
		}
		if reads && matchesAny(r.Header["If-None-Match"], tag) {
			a.notModified(tag)
			return
		}
	}
	a.sendBody(coding)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
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
	if body.Len() > ownLength {
		a.Header()["Content-Length"] = []string{strconv.Itoa(body.Len())}
	}
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

package httpapi

import (
	"context"
	"net/http"
	"sync"
)

// Unchanged answers If-None-Match of a Tagged operation without reading what the answer
// is made of: it remembers the entity tags of answers, each with the state of the database
// before it was read. The same request in the same state has the same answer. It is safe
// for concurrent use, and its zero value is empty.
type Unchanged struct {
	mu      sync.Mutex
	answers map[string]taggedAnswer
}

// taggedAnswer is what the entity tag of an answer is made of.
type taggedAnswer struct {
	state       string
	fingerprint string
	size        int // of the body, in bytes
}

// unchangedMost bounds the answers of an Unchanged.
const unchangedMost = 1000

// Is reports whether the client has the answer to the request of ctx; the handler then
// returns an empty output, and 304 is sent. Otherwise it remembers the answer that the
// handler makes. request names all that the answer depends on besides the state, the
// caller included; state was read before the answer is, and after the request came.
func (u *Unchanged) Is(ctx context.Context, request, state string) bool {
	info := infoOf(ctx)
	u.mu.Lock()
	known, ok := u.answers[request]
	u.mu.Unlock()
	if ok && known.state == state {
		tag := entityTag("", known.fingerprint, info.choice.of(known.size))
		if matchesAny(info.request.Header["If-None-Match"], tag) {
			info.unchanged = tag
			return true
		}
	}
	info.remember = func(fingerprint string, size int) {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.answers == nil || len(u.answers) >= unchangedMost {
			u.answers = map[string]taggedAnswer{}
		}
		u.answers[request] = taggedAnswer{state, fingerprint, size}
	}
	return false
}

// notModified sends 304 with the entity tag of the answer that the client has.
func (a *answer) notModified(tag string) {
	h := a.Header()
	h["Etag"] = []string{tag}
	delete(h, "Content-Type")
	a.response.WriteHeader(http.StatusNotModified)
}

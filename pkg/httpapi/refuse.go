package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"fixdesk/pkg/obs"
)

// routeKey names an operation.
type routeKey struct{ method, pattern string }

// await lets a request to an operation wait for a slot before anything is made for it
// but what net/http has made, since under overload most requests are refused. It
// returns the operation that refuses it, nil if none does. A slot that is free
// is taken later, and so is that of a request that needs headers of CORS.
func (e *edge) await(r *http.Request) (s slot, refused *details) {
	a := e.api
	s.admission = a.admission
	if !a.admission.isFull() || a.starting.Load() != nil || len(a.cfg.CORSOrigins) > 0 && r.Header["Origin"] != nil {
		return s, nil
	}
	d := e.operation(r)
	if d != nil && s.acquire(r.Context(), true) == errOverloaded { //nolint:errorlint // the very value
		refused = d
	}
	return s, refused
}

// operation returns the operation that a request is for, nil if it is for none.
func (e *edge) operation(r *http.Request) *details {
	route := e.route()
	defer e.routes.Put(route)
	method, path := r.Method, r.URL.Path
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if r.URL.RawPath != "" {
		path = r.URL.RawPath
	}
	return e.api.operations[routeKey{method, e.api.router.Find(route, method, path)}]
}

// refuse answers 503 to a request that waited in vain.
func (e *edge) refuse(w http.ResponseWriter, r *http.Request, info *requestInfo, id string) {
	defer info.discard(r)
	h := w.Header()
	h["Content-Type"], h["Retry-After"] = []string{problemType}, refusal.retryAfter
	body := make([]byte, 0, len(refusal.before)+len(id)+len(refusal.after))
	body = append(append(append(body, refusal.before...), id...), refusal.after...)
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	info.answerFirst(w, r)
	w.WriteHeader(http.StatusServiceUnavailable)
	n, _ := w.Write(body) //nolint:gosec // JSON, and saneRequestID refuses what ends its text
	info.sendFirst(w)
	e.api.record(obs.WithRequest(r.Context(), id, info.client), info, http.StatusServiceUnavailable, int64(n))
}

// refusal is the answer to all requests that are refused, but for their ids.
var refusal = func() (answer struct {
	before, after string // of the id, in the body
	retryAfter    []string
}) {
	const id = "request-id"
	p := newProblem(obs.WithRequestID(context.Background(), id), errOverloaded)
	var body bytes.Buffer
	_ = jsonFormat.Marshal(io.Writer(&body), p) // can't fail for a Problem
	answer.before, answer.after, _ = strings.Cut(body.String(), id)
	answer.retryAfter = p.headers["Retry-After"]
	return answer
}()

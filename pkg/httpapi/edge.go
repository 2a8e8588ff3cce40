package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"fixdesk/pkg/obs"
	"fixdesk/pkg/tracing"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// edge wraps the whole API: request id, client address, security headers, CORS,
// recovery from panics, one access log line and the metrics.
type edge struct {
	api  *API
	next http.Handler // CORS around the router

	traced http.Handler // serve with a span, nil without traces
	routes sync.Pool    // of *chi.Context, as chi has one
}

// requestInfo holds what the layers share about one request. It is a context with itself
// and the routing in it, so that these need no contexts of their own.
type requestInfo struct {
	context.Context
	routing *chi.Context

	method    string
	route     string // the pattern, never the path: "" when nothing matched
	principal string
	sentToken bool
	// authenticated is whether the context has a principal.
	authenticated bool
	quota         RateLimit // of Config.Limit
	unread        bool      // a refused body is still to be read
	rejected      bool      // never served, since too many others were
	detached      bool      // a stream goes on after the handler; see StreamWriter.Detach
	start         time.Time
	// tokenEndpoint reports that errors have the form of RFC 6749.
	tokenEndpoint bool
	client        netip.Addr
	url           *url.URL
	response      *response
	choice        choice
	slot          slot
	request       *http.Request // as it was routed, and then as the handler has it
	operation     *details
	readAhead     any // the result of Operation.Ahead
	// unchanged is the entity tag of the answer that the client has, and remember keeps
	// that of the answer that is sent; see Unchanged.
	unchanged string
	remember  func(fingerprint string, size int)

	// connection is the request's context before it got a deadline.
	connection context.Context
}

type requestInfoKey struct{}

// Value is for infoOf and for chi.
func (info *requestInfo) Value(key any) any {
	switch key {
	case requestInfoKey{}:
		return info
	case chi.RouteCtxKey:
		return info.routing
	}
	return info.Context.Value(key)
}

func infoOf(ctx context.Context) *requestInfo {
	info, _ := ctx.Value(requestInfoKey{}).(*requestInfo)
	return info
}

// ServeHTTP serves one request.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.traced != nil {
		e.traced.ServeHTTP(w, r)
		return
	}
	e.serve(w, r)
}

func (e *edge) serve(w http.ResponseWriter, r *http.Request) {
	start := e.api.cfg.Now()
	slot, refused := e.await(r)
	id := requestID(r.Header["X-Request-Id"])
	info := &requestInfo{method: r.Method, start: start, client: clientAddr(r, e.api.cfg.TrustedProxies), url: r.URL, slot: slot}
	e.header(w, id)
	if refused != nil {
		info.route, info.rejected = refused.Path, true
		e.refuse(w, r, info, id)
		return
	}
	defer info.slot.release()
	res := &response{ResponseWriter: w}
	info.response = res
	info.Context, info.routing = obs.WithRequest(r.Context(), id, info.client), e.route() // chi would copy the request again
	r = r.WithContext(info)
	defer info.discard(r)
	defer e.finish(res, r, info)
	if r.Method == http.MethodHead {
		r.Method = http.MethodGet // net/http has its own copy and sends no body
	}
	e.next.ServeHTTP(res, r)
	e.routes.Put(info.routing)
}

// route returns a context for one routing, to be put back into routes.
func (e *edge) route() *chi.Context {
	route := e.routes.Get().(*chi.Context)
	route.Reset()
	route.Routes = e.api.router
	return route
}

// header sets the headers of every answer.
func (e *edge) header(w http.ResponseWriter, id string) {
	h := w.Header()
	h["X-Request-Id"] = []string{id}
	maps.Copy(h, securityHeaders)
	if e.api.draining.Load() {
		h["Connection"] = []string{"close"}
	}
}

// securityHeaders are on every answer. The pages of the API browser set a
// policy of their own.
var securityHeaders = map[string][]string{
	"Cache-Control":           {"no-store"},
	"X-Content-Type-Options":  {"nosniff"},
	"Content-Security-Policy": {"default-src 'none'; frame-ancestors 'none'"},
	"Referrer-Policy":         {"no-referrer"},
}

// finish answers 500 after a panic, logs and counts. A panic after the answer has
// begun closes the connection, so that the client sees that it is incomplete.
func (e *edge) finish(res *response, r *http.Request, info *requestInfo) {
	broken := false
	if v := recover(); v != nil {
		aborted := v == any(http.ErrAbortHandler)
		if !aborted {
			e.api.logPanic(r.Context(), info, v)
		}
		if broken = res.status != 0 || aborted; !broken {
			newError := newProblem(r.Context(), errInternal)
			res.Header()["Content-Type"] = []string{problemType}
			res.WriteHeader(newError.Status)
			_ = jsonFormat.Marshal(res, newError)
		}
	}
	if res.status == 0 {
		res.status = http.StatusOK
	}
	if !info.detached {
		e.api.record(r.Context(), info, res.status, res.bytes)
	}
	if broken {
		panic(http.ErrAbortHandler)
	}
}

func (a *API) logPanic(ctx context.Context, info *requestInfo, v any) {
	a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "panic",
		slog.String("route", info.route), slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
}

// record writes the access log line and the metrics. The line has the route's
// pattern and no query, since paths and queries hold personal data and tokens.
func (a *API) record(ctx context.Context, info *requestInfo, answered int, bytes int64) {
	took := a.cfg.Now().Sub(info.start)
	route, method := info.route, info.method
	if route == "" {
		route = "unmatched"
	}
	if !knownMethods[method] {
		method = "other"
	}
	status := strconv.Itoa(answered)
	a.metrics.requests.WithLabelValues(route, method, status).Inc()
	a.measure(ctx, a.metrics.duration.WithLabelValues(route, method, status), method, route, took)

	level := slog.LevelInfo
	if quietRoutes[route] && (answered < http.StatusBadRequest || answered == http.StatusServiceUnavailable) || info.rejected {
		level = slog.LevelDebug
	}
	if !a.cfg.Logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs,
		slog.String("method", method), slog.String("route", route), slog.Int("status", answered),
		slog.Int64("bytes", bytes), slog.Float64("duration_ms", float64(took.Microseconds())/1000))
	if !a.cfg.HideClients {
		attrs = append(attrs, slog.String("client", info.client.String()))
	}
	if info.principal != "" {
		attrs = append(attrs, slog.String("principal", info.principal))
	}
	a.cfg.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// measure measures a request, with the trace if there is one.
func (a *API) measure(ctx context.Context, duration prometheus.Observer, method, route string, took time.Duration) {
	if a.cfg.Tracing == nil {
		duration.Observe(took.Seconds())
		return
	}
	tracing.Name(ctx, method, route)
	tracing.Observe(ctx, duration, took.Seconds())
}

// quietRoutes are polled every few seconds by machines. The cause of a 503 of
// /readyz is logged when it begins.
var quietRoutes = map[string]bool{"/healthz": true, "/readyz": true}

var knownMethods = map[string]bool{
	http.MethodGet: true, http.MethodHead: true, http.MethodPost: true, http.MethodPut: true,
	http.MethodPatch: true, http.MethodDelete: true, http.MethodOptions: true,
}

const maxRequestID = 128

// requestID returns the client's id if it is safe in a log, a header and a mail,
// and else a new one.
func requestID(sent []string) string {
	if len(sent) == 1 && saneRequestID(sent[0]) {
		return sent[0]
	}
	id, err := uuid.NewV7()
	if err != nil {
		panic(fmt.Errorf("make a request id: %w", err))
	}
	return id.String()
}

func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == ',' || c == ';' {
			return false
		}
	}
	return true
}

// response records status and size. It drops a second WriteHeader, since huma
// sets a status after a stream has ended.
type response struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader sends the status unless one was sent.
func (w *response) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts what is sent.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

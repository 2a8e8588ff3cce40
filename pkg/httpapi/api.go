// Package httpapi is the HTTP layer of both services: it turns a request into
// typed input and a failure into an answer. It owns the router (chi) and the
// OpenAPI description (huma), the one mapping from errs to
// application/problem+json (RFC 9457), strict input, limits, pagination, the
// access log, health, metrics and the API browser.
//
// It must not import any package of a service: what an operation does, who a
// caller is and whether the service is ready are passed to it as functions.
package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/tracing"
)

// Config is what a service configures its API with.
type Config struct {
	Title, Version, Description string

	// Tags describe the groups of operations, in the order of the document.
	Tags []Tag

	// Allowed names in the document what Operation.Allow lists; "" means "Roles".
	Allowed string

	Logger   *slog.Logger
	Registry *prometheus.Registry
	Now      func() time.Time

	// Authenticate is called for each operation that is not public, before its
	// body is read, with the bearer token or API key, Operation.Allow and
	// Operation.Scope. It returns the context with the principal, or an *errs.Error:
	// Unauthenticated for a token that is refused, Forbidden for a principal who is
	// not among allow and for an API key without the scope. With Forbidden the
	// context may be given too, for the access log.
	Authenticate func(ctx context.Context, bearer string, allow []string, scope string) (context.Context, error)

	// AuthenticateURL is Authenticate for an operation with SignedURL that was requested
	// with the query parameter signature instead of a token. path is the URL's.
	AuthenticateURL func(ctx context.Context, path, signature string, allow []string, scope string) (context.Context, error)

	// Principal reads the principal's id from a context that Authenticate gave,
	// for the access log: never a name or an address. Nil logs none.
	Principal func(ctx context.Context) string

	// Limit counts each request to an operation, after authentication and before its
	// body is read. The caller is the principal if authenticated, also one who is
	// forbidden the operation; in public operations, and when the token is refused,
	// it is the client's network (obs.Client). The quota is in the headers of every
	// answer, unless it is zero. An error is the answer: an *errs.Error of the kind
	// RateLimited. Nil limits nobody.
	Limit func(ctx context.Context, authenticated bool) (quota RateLimit, err error)

	// Ready reports whether the service can do its work now. The details are
	// answered to every client, so they must not hold an error's text; the error
	// is logged.
	Ready func(ctx context.Context) (details map[string]string, err error)

	// Unavailable reports whether an error is an outage of what the service needs
	// (pg.Unavailable), which is answered 503 instead of 500. Nil recognises none.
	Unavailable func(error) bool

	// RequestTimeout ends the context of an operation's handler, streams aside;
	// 0 means 10 s.
	RequestTimeout time.Duration

	// MaxRequests is how many requests to operations are served at the same
	// time, streams aside; 0 means 64. Others wait for half a second and are
	// answered 503.
	MaxRequests int

	// TrustedProxies are the networks whose X-Forwarded-For is used. Empty: none.
	TrustedProxies []netip.Prefix

	// CORSOrigins are the origins (scheme://host[:port], compared byte for byte)
	// whose pages may call the API. Empty: no CORS headers at all.
	CORSOrigins []string

	// Tracing makes a span of each request; nil makes none.
	Tracing *tracing.Tracing

	// HideClients leaves the clients' addresses out of the access log.
	HideClients bool

	// H2C also serves HTTP/2 without TLS, to clients that know that it does (RFC 9113,
	// section 3.3), for example a proxy.
	H2C bool
}

// API is the HTTP API of one service while it is being assembled:
// Register adds operations, Handler serves them.
type API struct {
	cfg       Config
	router    *chi.Mux
	huma      strictAPI
	registry  *registry
	metrics   *metrics
	admission *admission
	// operations are those that have a route.
	operations map[routeKey]*details
	untaken    map[routeKey]bool // see refuseUntaken
	transfers  *transfers
	large      chan struct{} // bodies of more than 1 MiB in memory
	outages    *outages
	starting   atomic.Pointer[errs.Error]

	missingPage http.HandlerFunc

	// draining is set while the service still serves and is to get no new clients.
	draining atomic.Bool

	// stopping ends the streams, which a shutdown would otherwise wait for.
	stopping    context.Context
	stopStreams context.CancelFunc
	detached    detachedStreams
}

// New makes an API with the probes, the metrics and the documentation and no
// operation yet.
func New(cfg Config) *API {
	cfg.RequestTimeout = cmp.Or(cfg.RequestTimeout, defaultRequestTimeout)
	a := &API{
		cfg: cfg, router: chi.NewMux(), metrics: newMetrics(cfg.Registry), registry: newRegistry(),
		admission:  newAdmission(cmp.Or(cfg.MaxRequests, defaultMaxRequests), cfg.Registry),
		operations: map[routeKey]*details{},
		untaken:    map[routeKey]bool{},
		transfers:  newTransfers(),
		large:      make(chan struct{}, largeBodies),
		outages:    newOutages(cfg.Logger, cfg.Now),
	}
	a.stopping, a.stopStreams = context.WithCancel(context.Background()) //nolint:gosec // NewServer registers stopStreams
	a.detached = detachedStreams{metrics: a.metrics, open: map[net.Conn]struct{}{}}
	a.router.Use(a.refuseWhileStarting)
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)
	a.huma = strictAPI{huma.NewAPI(humaConfig(cfg, a.registry), adapter{a})}
	Enum(a, "ProblemCode", "What went wrong, for programs. A later release may add codes.", problemCodes()...)
	a.mountProbes()
	a.mountProblems()
	return a
}

// Handler returns the handler of the whole API. Register nothing after it.
func (a *API) Handler() http.Handler {
	a.mountDocumentation()
	a.refuseUntaken()
	e := &edge{api: a, next: withCORS(a.cfg.CORSOrigins, a.router), routes: sync.Pool{New: func() any { return chi.NewRouteContext() }}}
	e.traced = a.cfg.Tracing.Handler(http.HandlerFunc(e.serve))
	return e
}

// OpenAPI returns the OpenAPI document of what is registered so far, as JSON.
func (a *API) OpenAPI() ([]byte, error) { return a.huma.OpenAPI().MarshalJSON() }

// WriteOpenAPI writes the same document with one value on each line, for programs
// that compare or read it.
func (a *API) WriteOpenAPI(w io.Writer) error {
	document, err := a.OpenAPI()
	if err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, append(document, '\n'), "", "  "); err != nil {
		return fmt.Errorf("write the OpenAPI document: %w", err)
	}
	_, err = indented.WriteTo(w)
	return err
}

// handle adds a route that is not an operation.
func (a *API) handle(method, path string, h http.HandlerFunc) { a.handleAs(method, path, path, h) }

// handleAs is handle with another name in the log and the metrics, which many paths
// may share.
func (a *API) handleAs(method, path, route string, h http.HandlerFunc) {
	a.router.MethodFunc(method, path, func(w http.ResponseWriter, r *http.Request) {
		if info := infoOf(r.Context()); info != nil {
			info.route = route
		}
		h(w, r)
	})
}

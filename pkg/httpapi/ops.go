package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"fixdesk/pkg/config"
	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// opsStopTimeout bounds the end of answers in flight when an operations listener
// stops. Profiles and traces end at once.
const opsStopTimeout = 200 * time.Millisecond

// opsHeaders are on every answer of the operations listener. The index of
// net/http/pprof has a style element.
var opsHeaders = map[string][]string{
	"Cache-Control":           {"no-store"},
	"X-Content-Type-Options":  {"nosniff"},
	"Content-Security-Policy": {"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"},
	"Referrer-Policy":         {"no-referrer"},
}

// OpsHandler serves operators and their tools: GET /healthz, GET /readyz with its
// details, GET /metrics (Prometheus text) and net/http/pprof under /debug/pprof/.
// It knows no caller, so only a network of operators may reach it.
func (a *API) OpsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { a.readyz(w, r, true) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/mutex", mutexProfile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestID(r.Header["X-Request-Id"])
		r = r.WithContext(obs.WithRequestID(r.Context(), id))
		h := w.Header()
		h["X-Request-Id"] = []string{id}
		for name, value := range opsHeaders {
			h[name] = value
		}
		if namedByAnotherHost(r) {
			writeProblem(w, newProblem(r.Context(), errOtherHost), nil)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// mutexFraction is the share of the waits for a mutex that a profile records: one in
// so many.
const mutexFraction = 10

// mutexProfile is that of net/http/pprof. Waits are recorded only while a profile
// with the parameter seconds is taken, since it costs a little at all times otherwise.
func mutexProfile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("seconds") != "" {
		runtime.SetMutexProfileFraction(mutexFraction)
		defer runtime.SetMutexProfileFraction(0)
	}
	pprof.Handler("mutex").ServeHTTP(w, r)
}

var errOtherHost = errs.New(errs.Forbidden, errs.CodeForbidden, "Requests over the loopback interface must name this host: localhost, 127.0.0.1 or [::1].")

// namedByAnotherHost reports whether a request over the loopback interface names
// another host: a page in a browser on this machine would send it after its own
// host's name has been pointed at 127.0.0.1 (DNS rebinding).
func namedByAnotherHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return !config.IsThisHost(host)
}

// ServeOps serves OpsHandler at address, until stop is called. It has no write
// timeout, since a profile takes as long as its caller wants. An empty address
// means no listener. The error is one line that begins with variable, the name of
// the address's setting.
func (a *API) ServeOps(ctx context.Context, variable, address string) (stop func(), err error) {
	if address == "" {
		return func() {}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; set another address, or off", variable, err)
	}
	requests, abort := context.WithCancel(context.WithoutCancel(ctx))
	server := &http.Server{
		Handler:           a.OpsHandler(),
		ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(a.cfg.Logger.Handler(), slog.LevelError),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.cfg.Logger.ErrorContext(ctx, "the operations listener failed", "error", err)
		}
	}()
	a.cfg.Logger.InfoContext(ctx, "operations are served", "address", l.Addr().String())
	return func() {
		abort()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), opsStopTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-ended
	}, nil
}

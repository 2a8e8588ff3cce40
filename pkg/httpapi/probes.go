package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyTimeout bounds the readiness check.
const readyTimeout = 2 * time.Second

func (a *API) mountProbes() {
	a.handle(http.MethodGet, "/healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
	})
	a.handle(http.MethodGet, "/readyz", a.readyz)
	metrics := promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{})
	a.handle(http.MethodGet, "/metrics", metrics.ServeHTTP)
}

// readiness is the answer of /readyz when the service is ready; when it is
// not, the same details are a member of the problem.
type readiness struct {
	Status  string            `json:"status"`
	Details map[string]string `json:"details,omitempty"`
}

func (a *API) readyz(w http.ResponseWriter, r *http.Request) {
	if a.cfg.Ready == nil {
		writeJSON(w, http.StatusOK, "application/json", readiness{Status: "ready"})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	details, err := a.cfg.Ready(ctx)
	if err == nil {
		a.outages.succeeded(r.Context(), outageCauses)
		writeJSON(w, http.StatusOK, "application/json", readiness{"ready", details})
		return
	}
	a.outages.failed(r.Context(), notReady, "not ready", err)
	p := newProblem(r.Context(), errUnavailable)
	w.Header()["Retry-After"] = p.headers["Retry-After"]
	writeJSON(w, p.Status, problemType, struct {
		*Problem
		Details map[string]string `json:"details,omitempty"`
	}{p, details})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header()["Content-Type"] = []string{contentType}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

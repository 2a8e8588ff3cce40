package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"fixdesk/pkg/errs"
)

// readyTimeout bounds the readiness check.
const readyTimeout = 2 * time.Second

// mountProbes adds /healthz and /readyz, without detail: see OpsHandler.
func (a *API) mountProbes() {
	a.handle(http.MethodGet, "/healthz", healthz)
	a.handle(http.MethodGet, "/readyz", func(w http.ResponseWriter, r *http.Request) { a.readyz(w, r, false) })
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
}

// readiness is the answer of /readyz when the service is ready; when it is
// not, the same details are a member of the problem.
type readiness struct {
	Status  string            `json:"status"`
	Details map[string]string `json:"details,omitempty"`
}

// readyz answers whether the service can do its work: with details only on the
// operations listener.
func (a *API) readyz(w http.ResponseWriter, r *http.Request, detailed bool) {
	if reason := a.startsOrStops(); reason != nil {
		writeProblem(w, newProblem(r.Context(), reason), nil)
		return
	}
	var details map[string]string
	if a.cfg.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		all, err := a.cfg.Ready(ctx)
		if detailed {
			details = all
		}
		if err != nil {
			a.outages.failed(r.Context(), notReady, "not ready", err)
			writeProblem(w, newProblem(r.Context(), errUnavailable), details)
			return
		}
		a.outages.succeeded(r.Context(), outageCauses)
	}
	writeJSON(w, http.StatusOK, "application/json", readiness{"ready", details})
}

var errStops = errs.New(errs.Unavailable, errs.CodeUnavailable, "The service stops.")

// startsOrStops returns why the service isn't ready however its dependencies
// are, nil otherwise.
func (a *API) startsOrStops() *errs.Error {
	if a.draining.Load() || a.stopping.Err() != nil {
		return errStops
	}
	return a.starting.Load()
}

// writeProblem answers p, with details as one more member unless they are nil.
func writeProblem(w http.ResponseWriter, p *Problem, details map[string]string) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
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

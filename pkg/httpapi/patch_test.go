package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/pkg/httpapi"
)

func TestPatchAcceptsAMergePatchAndAnnouncesIt(t *testing.T) {
	type in struct {
		Body struct {
			Name string `json:"name"`
		}
	}
	api := httpapi.New(httpapi.Config{Title: "test", Version: "1", Registry: prometheus.NewRegistry(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	handler := func(context.Context, *in) (*struct{}, error) { return nil, nil }
	httpapi.Register(api, httpapi.Operation{Method: http.MethodPatch, Path: "/v1/things", ID: "change-thing", Tag: "things", Summary: "Change", Public: true}, handler)
	httpapi.Register(api, httpapi.Operation{Method: http.MethodPost, Path: "/v1/things", ID: "create-thing", Tag: "things", Summary: "Create", Public: true}, handler)
	for _, c := range []struct {
		method, contentType string
		want                int
	}{
		{"PATCH", "application/json", 204}, {"PATCH", "application/merge-patch+json", 204}, {"PATCH", "application/merge-patch+json; charset=utf-8", 204},
		{"PATCH", "application/json-patch+json", 415}, {"POST", "application/merge-patch+json", 415}, {"POST", "application/json", 204},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "/v1/things", strings.NewReader(`{"name":"x"}`))
		r.Header.Set("Content-Type", c.contentType)
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, r)
		accepts := w.Header().Get("Accept-Patch")
		if w.Code != c.want || (accepts == "application/json, application/merge-patch+json") != (c.method == "PATCH") {
			t.Errorf("%s as %s: %d, Accept-Patch %q", c.method, c.contentType, w.Code, accepts)
		}
	}
}

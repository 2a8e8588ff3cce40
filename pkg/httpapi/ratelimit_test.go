package httpapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

func TestRateLimitFieldsComeWithSuccessAndRefusal(t *testing.T) {
	var fail error
	api := httpapi.New(httpapi.Config{
		Title: "Test", Version: "1", Logger: obs.NewLogger(&lockedBuffer{}, slog.LevelInfo, obs.JSON),
		Registry: obs.NewRegistry("test", "1"), Now: time.Now,
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/knock", ID: "knock", Summary: "Knock", Tag: "test", Public: true,
		Errors: []string{errs.CodeRateLimited},
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		httpapi.SetRateLimits(ctx,
			httpapi.RateLimit{Policy: "account", Limit: 5, Remaining: 2, Window: 15 * time.Minute, Reset: 1500 * time.Millisecond},
			httpapi.RateLimit{Policy: "address", Limit: 20, Remaining: -1, Window: time.Minute})
		return nil, fail
	})
	handler := api.Handler()
	for _, fail = range []error{nil, errs.New(errs.RateLimited, errs.CodeRateLimited, "Too often.").After(90 * time.Second)} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/knock", nil))
		for name, want := range map[string]string{
			"RateLimit-Policy": `"account";q=5;w=900, "address";q=20;w=60`,
			"RateLimit":        `"account";r=2;t=2, "address";r=0;t=0`,
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("status %d: %s: %s", w.Code, name, got)
			}
		}
		if want := map[bool]string{true: "90", false: ""}[fail != nil]; w.Header().Get("Retry-After") != want {
			t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
		}
	}
}

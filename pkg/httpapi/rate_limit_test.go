package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
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
		Method: http.MethodPost, Path: "/limited", ID: "limited", Summary: "Limited", Tag: "test", Public: true,
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
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/limited", nil))
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

// counter is a Config.Limit that lets the first few requests of each caller through.
type counter struct {
	mu   sync.Mutex
	max  int
	used map[string]int
}

func (c *counter) limit(ctx context.Context, authenticated bool) (httpapi.RateLimit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	caller := obs.Client(ctx).String()
	if authenticated {
		caller, _ = ctx.Value(principalKey{}).(string)
	}
	c.used[caller]++
	quota := httpapi.RateLimit{Policy: "caller", Limit: c.max, Remaining: c.max - c.used[caller], Window: time.Minute}
	if quota.Remaining < 0 {
		return quota, errs.New(errs.RateLimited, errs.CodeRateLimited, "Too many requests.").After(1500 * time.Millisecond)
	}
	return quota, nil
}

func newLimited(t *testing.T, limit int) (*fixture, *counter) {
	c := &counter{max: limit, used: map[string]int{}}
	return newFixture(t, func(cfg *httpapi.Config) {
		cfg.Limit = c.limit
		authenticate := cfg.Authenticate
		cfg.Authenticate = func(ctx context.Context, bearer string, allow []string, scope string) (context.Context, error) {
			switch bearer {
			case "outage":
				return nil, errDown
			case "forbidden":
				return context.WithValue(ctx, principalKey{}, "forbidden"), errs.New(errs.Forbidden, errs.CodeForbidden, "You may not do this.")
			}
			return authenticate(ctx, bearer, allow, scope)
		}
	}), c
}

// get sends a request with a token, unless that is "".
func (f *fixture) get(t *testing.T, path, token string) *http.Response {
	t.Helper()
	header := "Authorization: -"
	if token != "" {
		header = "Authorization: Bearer " + token
	}
	res, _ := f.send(t, http.MethodGet, path, "", header)
	return res
}

func TestEveryAnswerOfAnOperationHasTheCallersRateLimit(t *testing.T) {
	f, c := newLimited(t, 100)
	thing := "/v1/things/019c5c4e-0000-7000-8000-000000000000"
	for i, step := range []struct {
		path, token string
		status      int
		caller      string
	}{
		{thing, "customer-token", 200, "principal-custo"},
		{"/v1/things/canary", "customer-token", 422, "principal-custo"},
		{"/v1/things?unknown=1", "customer-token", 422, "principal-custo"},
		{thing, "forbidden", 403, "forbidden"},
		{thing, "", 401, "127.0.0.1"},
		{thing, "canary", 401, "127.0.0.1"},
	} {
		before := c.used[step.caller]
		res := f.get(t, step.path, step.token)
		if res.StatusCode != step.status || c.used[step.caller] != before+1 {
			t.Errorf("%d: status %d, used by %v", i, res.StatusCode, c.used)
		}
		if got, want := res.Header.Get("RateLimit"), fmt.Sprintf(`"caller";r=%d;t=0`, 99-before); got != want {
			t.Errorf("%d: RateLimit: %s, want %s", i, got, want)
		}
		if got := res.Header.Get("RateLimit-Policy"); got != `"caller";q=100;w=60` {
			t.Errorf("%d: RateLimit-Policy: %s", i, got)
		}
	}
}

func TestExhaustedRateLimitIsAProblemWithRetryAfter(t *testing.T) {
	f, _ := newLimited(t, 1)
	thing := "/v1/things/019c5c4e-0000-7000-8000-000000000000"
	for i, want := range []int{200, 429} {
		res := f.get(t, thing, "customer-token")
		if res.StatusCode != want {
			t.Fatalf("request %d: %d", i, res.StatusCode)
		}
		if after := res.Header.Get("Retry-After"); i == 1 && (after != "2" || res.Header.Get("Content-Type") != "application/problem+json") {
			t.Errorf("Retry-After: %q, %s", after, res.Header.Get("Content-Type"))
		}
	}
	if res := f.get(t, thing, "admin-token"); res.StatusCode != 200 { // the control: another caller
		t.Errorf("another caller: %d", res.StatusCode)
	}
	for _, want := range []int{401, 429} {
		if res := f.get(t, thing, "canary"); res.StatusCode != want {
			t.Errorf("refused token: %d, want %d", res.StatusCode, want)
		}
	}
}

func TestOutagesProbesAndDocumentationCountForNobody(t *testing.T) {
	f, c := newLimited(t, 1)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/nothing"} {
		f.get(t, path, "")
	}
	if res := f.get(t, "/v1/things/019c5c4e-0000-7000-8000-000000000000", "outage"); res.StatusCode != 503 {
		t.Errorf("outage: %d", res.StatusCode)
	}
	if len(c.used) != 0 {
		t.Errorf("counted: %v", c.used)
	}
	if f.get(t, "/v1/things", "canary"); c.used["127.0.0.1"] != 1 {
		t.Errorf("the control: %v", c.used)
	}
}

func TestOwnRateLimitIsShownBesideThoseOfTheOperation(t *testing.T) {
	api := httpapi.New(httpapi.Config{
		Title: "Test", Version: "1", Logger: obs.NewLogger(&lockedBuffer{}, slog.LevelInfo, obs.JSON),
		Registry: obs.NewRegistry("test", "1"), Now: time.Now, Limit: (&counter{max: 9, used: map[string]int{}}).limit,
	})
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/limited", ID: "limited", Summary: "Limited", Tag: "test", Public: true,
	}, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		httpapi.SetRateLimits(ctx, httpapi.RateLimit{Policy: "replaced", Limit: 1})
		httpapi.SetRateLimits(ctx, httpapi.RateLimit{Policy: "account", Limit: 5, Remaining: 2, Window: time.Minute, Reset: time.Second})
		return nil, errors.New("canary")
	})
	w := httptest.NewRecorder()
	api.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/limited", nil))
	if policy, state := w.Header().Get("RateLimit-Policy"), w.Header().Get("RateLimit"); policy != `"account";q=5;w=60, "caller";q=9;w=60` ||
		state != `"account";r=2;t=1, "caller";r=8;t=0` {
		t.Errorf("%s\n%s", policy, state)
	}
}

package httpapi_test

import (
	"context"
	"net/http"
	"testing"

	"fixdesk/pkg/httpapi"
)

func TestHandlerGetsWhatWasBegunForItsRequest(t *testing.T) {
	f := newFixtureWith(t, func(c *httpapi.Config) {
		c.Authenticate = func(ctx context.Context, bearer string, allow []string, scope string) (context.Context, error) {
			if bearer == "customer-token" {
				httpapi.ReadAhead(ctx)
			}
			return authenticate(ctx, bearer, allow, scope)
		}
	}, func(f *fixture) {
		httpapi.Register(f.api, httpapi.Operation{
			Method: http.MethodGet, Path: "/v1/names/{name}", ID: "get-name", Tag: "things", Summary: "Read", Allow: []string{"customer", "admin"},
			Ahead: func(r *http.Request) any { return "begun for " + r.PathValue("name") },
		}, func(ctx context.Context, _ *nameInput) (*struct{ Body string }, error) {
			begun, _ := httpapi.Ahead(ctx).(string)
			return &struct{ Body string }{begun}, nil
		})
	})
	for token, want := range map[string]string{"customer-token": "\"begun for ada\"\n", "admin-token": "\"\"\n"} {
		if res, body := f.send(t, http.MethodGet, "/v1/names/ada", "", "Authorization: Bearer "+token); res.StatusCode != http.StatusOK || string(body) != want {
			t.Errorf("%s: %d %q, want %q", token, res.StatusCode, body, want)
		}
	}
}

package httpapi_test

import (
	"context"
	"strings"
	"testing"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

func TestOptionsAnswersTheMethodsOfAPath(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	for path, want := range map[string]struct{ allow, patch string }{
		"/v1/document": {"GET, HEAD, PATCH, OPTIONS", "application/json, application/merge-patch+json"},
		"/v1/login":    {"POST, OPTIONS", ""}, "/v1/rows": {"GET, HEAD, OPTIONS", ""}, "/healthz": {"GET, HEAD, OPTIONS", ""}, "/openapi.json": {"GET, HEAD, OPTIONS", ""},
		"*": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "application/json, application/merge-patch+json"},
	} {
		res, body := f.raw(t, "OPTIONS", path, "", "Authorization: -")
		if res.StatusCode != 204 || len(body) != 0 || res.Header.Get("Allow") != want.allow || res.Header.Get("Accept-Patch") != want.patch || res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
	}
	res, body := f.raw(t, "OPTIONS", "/v1/nothing", "")
	wantProblem(t, res, body, 404, errs.CodeNotFound)
}

func TestPathTakesNoMethodOfAPathWithAParameter(t *testing.T) {
	t.Parallel()
	f := newFixtureWith(t, nil, func(f *fixture) {
		for _, op := range []httpapi.Operation{{Method: "GET", Path: "/v1/things/counts", ID: "count"}, {Method: "PATCH", Path: "/v1/things/{name}", ID: "change"}, {Method: "GET", Path: "/v1/things/{name}", ID: "get"}} {
			op.Public, op.Summary, op.Tag = true, op.ID, "test"
			httpapi.Register(f.api, op, func(context.Context, *nameInput) (*struct{}, error) { return nil, nil })
		}
	})
	for path, want := range map[string]struct {
		status int
		allow  string
	}{
		"/v1/things/counts": {405, "GET, HEAD, OPTIONS"}, "/v1/things/42": {204, "GET, HEAD, PATCH, OPTIONS"},
	} {
		if res, body := f.send(t, "PATCH", path, ""); res.StatusCode != want.status {
			t.Errorf("PATCH %s: %d %s", path, res.StatusCode, body)
		}
		for _, method := range []string{"OPTIONS", "DELETE"} {
			if res, _ := f.send(t, method, path, ""); res.Header.Get("Allow") != want.allow {
				t.Errorf("%s %s: Allow is %q", method, path, res.Header.Get("Allow"))
			}
		}
	}
}

func TestPreflightStillWorksBesideOptions(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, func(c *httpapi.Config) { c.CORSOrigins = []string{"https://desk.example.com"} })
	preflight := []string{"Origin: https://desk.example.com", "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: authorization,if-match"}
	res, _ := f.raw(t, "OPTIONS", "/v1/document", "", preflight...)
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "https://desk.example.com" || res.Header.Get("Access-Control-Allow-Methods") != "PATCH" {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
	res, _ = f.raw(t, "OPTIONS", "/v1/document", "", preflight[0])
	if res.StatusCode != 204 || res.Header.Get("Allow") == "" || res.Header.Get("Access-Control-Allow-Origin") != "https://desk.example.com" {
		t.Errorf("no preflight: %d %v", res.StatusCode, res.Header)
	}
	res, _ = f.raw(t, "GET", "/v1/document", "", preflight[0])
	if vary := strings.Join(res.Header["Vary"], ", "); res.StatusCode != 200 || vary != "Origin, Accept-Encoding" {
		t.Errorf("Vary is %q", vary)
	}
}

func TestSlashAtTheEndIsRedirectedAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for target, want := range map[string]string{
		"/v1/things/": "/v1/things", "/v1/things//": "/v1/things", "/v1/things/?status=open&limit=2": "/v1/things?status=open&limit=2", "/docs/": "/docs",
		"/v1/named/a%20b/": "/v1/named/a%20b", "/v1/named/%0d%0aX/": "/v1/named/%0d%0aX", "/v1/named/%2F/": "/v1/named/%2F", "http://evil.example/v1/things/": "/v1/things",
		"/v1/things/1/accept/": "/v1/things/1/accept", "/v1/named/%5Cevil.example/": "/v1/named/%5Cevil.example",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			res, body := f.raw(t, method, target, map[bool]string{true: "{}"}[method == "POST"])
			if got := res.Header.Get("Location"); res.StatusCode != 308 || !strings.EqualFold(got, want) || len(body) != 0 || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d to %q", method, target, res.StatusCode, got)
			}
		}
	}
	for _, target := range []string{"//evil.example/", "//evil.example//", "/", "//", "/nothing/", "/v1/", "//v1/things/", "/%2Fevil.example/", `/\evil.example/`, "//evil.example/v1/things/", "/.//evil.example/"} {
		res, body := f.raw(t, "GET", target, "")
		if wantProblem(t, res, body, 404, errs.CodeNotFound); res.Header.Get("Location") != "" {
			t.Errorf("%s leads to %q", target, res.Header.Get("Location"))
		}
	}
	big := `{"title":"` + strings.Repeat("x", 300<<10) + `"}`
	if res, _ := f.send(t, "POST", "/v1/things/", big); res.StatusCode != 308 {
		t.Errorf("a large body: %d", res.StatusCode)
	}
}

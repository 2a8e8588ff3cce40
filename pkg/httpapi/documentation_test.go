package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

type document struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		OperationID string
		Security    []map[string][]string
		Responses   map[string]struct {
			Description string
			Headers     map[string]any
			Content     map[string]any
		}
	}
	Components struct {
		SecuritySchemes map[string]struct{ Type, Scheme string }
		Schemas         map[string]json.RawMessage
	}
}

func TestDocumentHasRolesAndEveryResponse(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.send(t, "GET", "/openapi.json", "", "Authorization: -")
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Components.SecuritySchemes["bearer"].Scheme != "bearer" {
		t.Errorf("%s %v", doc.OpenAPI, doc.Components.SecuritySchemes)
	}
	create := doc.Paths["/v1/things"]["post"]
	if len(create.Security) != 1 || !slices.Equal(create.Security[0]["bearer"], []string{"customer", "admin"}) {
		t.Errorf("security = %v", create.Security)
	}
	for status, code := range map[string]string{
		"400": errs.CodeMalformedJSON, "401": errs.CodeInvalidToken, "403": errs.CodeForbidden, "406": errs.CodeNotAcceptable, "409": errs.CodeConflict,
		"413": errs.CodeBodyTooLarge, "415": errs.CodeUnsupportedMediaType, "422": errs.CodeValidationFailed, "429": errs.CodeRateLimited,
		"500": errs.CodeInternal, "503": errs.CodeUnavailable,
	} {
		r := create.Responses[status]
		if !strings.Contains(r.Description, "`"+code+"`") || r.Content["application/problem+json"] == nil {
			t.Errorf("%s: %+v", status, r)
		}
	}
	if r := create.Responses["201"]; r.Headers["Location"] == nil || r.Headers["ETag"] == nil || r.Content["application/json"] == nil {
		t.Errorf("201: %+v", r)
	}
	if r := doc.Paths["/v1/export"]["get"].Responses["200"]; r.Content["text/csv"] == nil || r.Content["application/json"] != nil {
		t.Errorf("200: %+v", r)
	}
	named := doc.Paths["/v1/named/{name}"]["get"]
	if len(named.Security) != 0 || named.Responses["401"].Description != "" {
		t.Errorf("public: %+v", named)
	}
	get := doc.Paths["/v1/things/{id}"]["get"]
	for _, status := range []string{"413", "415"} {
		if get.Responses[status].Description != "" {
			t.Errorf("an operation without a body documents %s", status)
		}
	}
	for name := range doc.Components.Schemas {
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(name) {
			t.Errorf("schema name %q", name)
		}
	}
	if strings.Contains(string(body), "$schema") || strings.Contains(string(doc.Components.Schemas["Problem"]), "value\"") {
		t.Error("huma's own error is described")
	}
}

func TestDocumentationLoadsNothingFromOtherHosts(t *testing.T) {
	f := newFixture(t, nil)
	for path, contentType := range map[string]string{
		"/docs": "text/html", "/docs/start.js": "text/javascript", "/docs/swagger-ui-bundle.js": "text/javascript", "/docs/swagger-ui.css": "text/css",
	} {
		res, body := f.send(t, "GET", path, "", "Authorization: -", "Accept-Encoding: identity")
		policy := res.Header.Get("Content-Security-Policy")
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), contentType) || len(body) == 0 ||
			!strings.Contains(policy, "script-src 'self';") || strings.Contains(policy, "http") {
			t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
		}
		if path == "/docs" && (strings.Contains(string(body), "//") || strings.Contains(string(body), "<script>")) {
			t.Errorf("%s", body)
		}
	}
	res, body := f.send(t, "GET", "/docs/swagger-ui-bundle.js", "", "Accept-Encoding: gzip")
	if res.Header.Get("Content-Encoding") != "gzip" || len(body) > 700_000 {
		t.Errorf("%d bytes, %v", len(body), res.Header)
	}
}

func TestRootRedirectsBrowsersToTheDocumentationAndIsAProblemForOthers(t *testing.T) {
	f := newFixture(t, nil)
	const browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	if res, _ := f.send(t, "GET", "/", "", "Authorization: -", browser); res.StatusCode != 302 || res.Header.Get("Location") != "/docs" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for _, request := range [][2]string{{"GET", "Accept: */*"}, {"GET", "Accept: application/json"}, {"POST", browser}} {
		res, body := f.send(t, request[0], "/", "", "Authorization: -", request[1])
		if res.StatusCode != 404 || !strings.Contains(string(body), `"code":"not_found"`) {
			t.Errorf("%v: %d %s", request, res.StatusCode, body)
		}
	}
}

func TestWrongDeclarationPanics(t *testing.T) {
	ok := httpapi.Operation{Method: "GET", Path: "/v1/x", ID: "x", Summary: "x", Tag: "x", Allow: []string{"admin"}}
	tests := map[string]func(*httpapi.Operation){
		"neither public nor allowed": func(o *httpapi.Operation) { o.Allow = nil },
		"public and allowed":         func(o *httpapi.Operation) { o.Public = true },
		"public with a scope":        func(o *httpapi.Operation) { o.Public, o.Allow, o.Scope = true, nil, "things:read" },
		"no id":                      func(o *httpapi.Operation) { o.ID = "" },
		"no summary":                 func(o *httpapi.Operation) { o.Summary = "" },
		"no tag":                     func(o *httpapi.Operation) { o.Tag = "" },
		"unknown code":               func(o *httpapi.Operation) { o.Errors = []string{"no_such_code"} },
	}
	register := func(op httpapi.Operation) (panicked bool) {
		defer func() { panicked = recover() != nil }()
		api := httpapi.New(httpapi.Config{
			Title: "T", Version: "1", Registry: obs.NewRegistry("t", "1"), Now: time.Now, Authenticate: authenticate,
			Logger: obs.NewLogger(io.Discard, 0, obs.JSON),
		})
		httpapi.Register(api, op, func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
		return false
	}
	if register(ok) {
		t.Fatal("the control panics")
	}
	for name, change := range tests {
		op := ok
		if change(&op); !register(op) {
			t.Errorf("%s: no panic", name)
		}
	}
}

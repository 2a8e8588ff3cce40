package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
)

type document struct {
	OpenAPI string
	Servers []struct{ URL string }
	Tags    []struct{ Name, Description string }
	Paths   map[string]map[string]operation

	Components struct {
		SecuritySchemes map[string]struct{ Type, Scheme string }
		Schemas         map[string]json.RawMessage
		Responses       map[string]response
		Headers         map[string]struct{ Description string }
	}
}

type operation struct {
	OperationID, Description string
	Security                 []map[string][]string
	Parameters               []struct {
		Name     string
		Required bool
	}
	RequestBody struct {
		Content map[string]struct{ Example any }
	}
	Responses map[string]response
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Headers     map[string]struct {
		Ref string `json:"$ref"`
	}
	Content map[string]struct {
		Schema  json.RawMessage
		Example any
	}
}

// response is the description of an answer, which may be shared by operations.
func (d document) response(op operation, status string) response {
	r := op.Responses[status]
	if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
		return d.Components.Responses[name]
	}
	return r
}

// readDocument returns the document of the fixture.
func readDocument(t *testing.T) (document, string) {
	t.Helper()
	f := newFixture(t, nil)
	res, body := f.send(t, "GET", "/openapi.json", "", "Authorization: -")
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v", res.StatusCode, err)
	}
	return doc, string(body)
}

func TestDocumentHasRolesAndEveryResponse(t *testing.T) {
	doc, body := readDocument(t)
	if doc.OpenAPI != "3.1.0" || doc.Components.SecuritySchemes["bearer"].Scheme != "bearer" || len(doc.Servers) != 1 || doc.Servers[0].URL != "/" {
		t.Errorf("%s %v %v", doc.OpenAPI, doc.Components.SecuritySchemes, doc.Servers)
	}
	create := doc.Paths["/v1/things"]["post"]
	if len(create.Security) != 1 || create.Security[0]["bearer"] == nil || !strings.HasSuffix(create.Description, "Roles: customer, admin.") {
		t.Errorf("%v %q", create.Security, create.Description)
	}
	for status, code := range map[string]string{
		"400": errs.CodeMalformedJSON, "401": errs.CodeInvalidToken, "403": errs.CodeForbidden, "406": errs.CodeNotAcceptable, "409": errs.CodeConflict,
		"413": errs.CodeBodyTooLarge, "415": errs.CodeUnsupportedMediaType, "422": errs.CodeValidationFailed, "429": errs.CodeRateLimited,
		"500": errs.CodeInternal, "503": errs.CodeUnavailable,
	} {
		r := doc.response(create, status)
		if !strings.Contains(r.Description, "`"+code+"`") || !strings.Contains(string(r.Content["application/problem+json"].Schema), `"enum":["`+code+`"`) {
			t.Errorf("%s: %+v", status, r)
		}
	}
	if r := create.Responses["201"]; r.Headers["Location"].Ref == "" || r.Headers["ETag"].Ref == "" || r.Content["application/json"].Schema == nil {
		t.Errorf("201: %+v", r)
	}
	if r := doc.Paths["/v1/export"]["get"].Responses["200"]; r.Content["text/csv"].Schema == nil || r.Content["application/json"].Schema != nil {
		t.Errorf("200: %+v", r)
	}
	named := doc.Paths["/v1/named/{name}"]["get"]
	if named.Security == nil || len(named.Security) != 0 || named.Responses["401"].Ref != "" || !strings.HasSuffix(named.Description, "For anyone, without a token.") {
		t.Errorf("public: %+v", named)
	}
	get := doc.Paths["/v1/things/{id}"]["get"]
	for _, status := range []string{"413", "415"} {
		if get.Responses[status].Ref != "" {
			t.Errorf("an operation without a body documents %s", status)
		}
	}
	for name := range doc.Components.Schemas {
		if !regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(name) {
			t.Errorf("schema name %q", name)
		}
	}
	if strings.Contains(body, "$schema") || strings.Contains(string(doc.Components.Schemas["Problem"]), "value\"") {
		t.Error("huma's own error is described")
	}
}

func TestEveryHeaderInTheDocumentIsDescribed(t *testing.T) {
	doc, _ := readDocument(t)
	seen := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			for status := range op.Responses {
				r := doc.response(op, status)
				for name, header := range r.Headers {
					described, ok := doc.Components.Headers[strings.TrimPrefix(header.Ref, "#/components/headers/")]
					if !ok || described.Description == "" {
						t.Errorf("%s %s %s: the header %s is not described", method, path, status, name)
					}
					seen[name] = true
				}
				if r.Headers["X-Request-Id"].Ref == "" || status == "401" && r.Headers["WWW-Authenticate"].Ref == "" || status == "503" && r.Headers["Retry-After"].Ref == "" {
					t.Errorf("%s %s %s has the headers %v", method, path, status, r.Headers)
				}
			}
		}
	}
	for _, name := range []string{"ETag", "Location", "Link", "Retry-After", "RateLimit", "RateLimit-Policy", "WWW-Authenticate"} {
		if !seen[name] {
			t.Errorf("no answer has %s", name)
		}
	}
}

type colour string

func TestEnumHasOneSchemaAndIsEnforced(t *testing.T) {
	var stored colour
	api := httpapi.New(httpapi.Config{
		Title: "T", Version: "1", Registry: obs.NewRegistry("t", "1"), Now: time.Now, Logger: obs.NewLogger(io.Discard, 0, obs.JSON),
		Tags: []httpapi.Tag{{Name: "walls", Description: "What is painted."}},
	})
	httpapi.Enum[colour](api, "Colour", "What it is painted in.", "red", "blue")
	type input struct {
		Of   []colour `query:"of"`
		Key  string   `header:"Idempotency-Key"`
		Body struct {
			Colour colour  `json:"colour,omitempty" default:"blue" doc:"The new one."`
			Second *colour `json:"second,omitempty"`
		}
	}
	type wallView struct {
		Colour colour                   `json:"colour"`
		Before httpapi.Nullable[colour] `json:"before"`
	}
	httpapi.Register(api, httpapi.Operation{
		Method: "POST", Path: "/v1/walls", ID: "paint-wall", Tag: "walls", Summary: "Paint", Status: 201, Public: true,
		Requires: []string{"Idempotency-Key"}, RequestExample: map[string]any{"colour": "red"}, Example: wallView{Colour: "red"},
	}, func(_ context.Context, in *input) (*struct{ Body wallView }, error) {
		stored = in.Body.Colour
		return &struct{ Body wallView }{wallView{Colour: stored}}, nil
	})
	document, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"Colour":{"description":"What it is painted in.","enum":["red","blue"],"type":"string"}`,
		`"colour":{"$ref":"#/components/schemas/Colour","description":"The new one. Default: blue."}`,
		`"second":{"$ref":"#/components/schemas/Colour"}`,
		`"items":{"$ref":"#/components/schemas/Colour"}`,
		`"anyOf":[{"$ref":"#/components/schemas/Colour"},{"type":"null"}]`,
		`{"in":"header","name":"Idempotency-Key","required":true,`,
		`"example":{"colour":"red","before":null}`, `"example":{"colour":"red"}`,
		`"PaintWallRequest":{`, `"Wall":{`, `"tags":[{"description":"What is painted.","name":"walls"}]`,
	} {
		if !strings.Contains(string(document), want) {
			t.Errorf("%s is missing", want)
		}
	}
	handler := api.Handler()
	paint := func(query, body string) int {
		r := httptest.NewRequest("POST", "/v1/walls"+query, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	if code := paint("?of=red,blue", `{"colour":"red"}`); code != 201 || stored != "red" {
		t.Errorf("%d %q", code, stored)
	}
	if code := paint("", `{}`); code != 201 || stored != "blue" {
		t.Errorf("the default is not used: %d %q", code, stored)
	}
	for _, wrong := range [][2]string{{"", `{"colour":"green"}`}, {"", `{"second":"green"}`}, {"", `{"second":null}`}, {"?of=red,green", `{}`}, {"?of=", `{}`}} {
		if code := paint(wrong[0], wrong[1]); code != 422 {
			t.Errorf("%v is answered %d", wrong, code)
		}
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

type shapeKind string

type squareShape struct {
	Kind string `json:"kind" enum:"square"`
	Side int    `json:"side"`
}

type circleShape struct {
	Kind   string `json:"kind" enum:"circle"`
	Radius int    `json:"radius"`
}

type shapeView struct {
	Kind         shapeKind
	Side, Radius int
}

func TestUnionHasItsMembersByKindAndRefusesAMissingOne(t *testing.T) {
	newAPI := func() *httpapi.API {
		api := httpapi.New(httpapi.Config{
			Title: "T", Version: "1", Registry: obs.NewRegistry("t", "1"), Now: time.Now, Logger: obs.NewLogger(io.Discard, 0, obs.JSON),
		})
		httpapi.Enum[shapeKind](api, "ShapeKind", "What it is.", "square", "circle")
		return api
	}
	api := newAPI()
	httpapi.Union[shapeView, shapeKind](api, "Shape", "A shape.", "kind", struct{}{}, squareShape{}, circleShape{})
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: "GET", Path: "/v1/shapes", ID: "stream-shapes", Tag: "shapes", Summary: "Stream", Public: true,
		EventData: shapeView{}, EventKind: shapeKind(""),
	}, "text/event-stream", func(context.Context, *struct{}) (httpapi.Stream, error) { return nil, nil })
	document, err := api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"mapping":{"circle":"#/components/schemas/CircleShape","square":"#/components/schemas/SquareShape"},"propertyName":"kind"`,
		`"oneOf":[{"$ref":"#/components/schemas/SquareShape"},{"$ref":"#/components/schemas/CircleShape"}]`,
		`"properties":{"kind":{"$ref":"#/components/schemas/ShapeKind"}}`,
		`"contentSchema":{"$ref":"#/components/schemas/Shape"}`, `"event":{"$ref":"#/components/schemas/ShapeKind"}`,
	} {
		if !strings.Contains(string(document), want) {
			t.Errorf("the document lacks %s", want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a union without one of its kinds was accepted")
		}
	}()
	httpapi.Union[shapeView, shapeKind](newAPI(), "Shape", "A shape.", "kind", struct{}{}, squareShape{})
}

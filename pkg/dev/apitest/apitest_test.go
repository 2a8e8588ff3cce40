package apitest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fixdesk/pkg/dev/apitest"
)

// document describes one operation that accepts {"name": string} and answers it.
const document = `{"openapi": "3.1.0", "components": {"schemas": {
	"Problem": {"type": "object", "required": ["type", "title", "status", "detail", "code", "request_id"], "properties": {"status": {"type": "integer"}}},
	"Thing": {"type": "object", "additionalProperties": false, "required": ["name"], "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 50}}}}},
	"paths": {"/things/{id}": {"post": {"operationId": "put-thing", "summary": "Put a thing", "description": "Replaces it.", "tags": ["things"], "security": [{"bearer": []}],
		"parameters": [{"name": "id", "in": "path", "required": true, "description": "Its id.", "schema": {"type": "string", "format": "uuid"}}],
		"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
		"responses": {
			"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
			"422": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}}}}}}`

// service conforms to the document, or deviates from it in one way.
func service(t *testing.T, wrong string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			_, _ = fmt.Fprint(w, document)
			return
		}
		body := new(strings.Builder)
		if _, err := fmt.Fprint(body, readAll(r)); err != nil {
			t.Error(err)
		}
		answer(w, r, wrong, body.String())
	}))
	t.Cleanup(server.Close)
	return server
}

func answer(w http.ResponseWriter, r *http.Request, wrong, body string) {
	w.Header().Set("X-Request-Id", "1")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	right := strings.HasPrefix(body, `{"name":"good`) && strings.HasSuffix(body, `"}`) && len(body) < 60 && strings.Count(body, ":") == 1 &&
		len(r.URL.Path) == len("/things/")+36 && len(r.URL.RawQuery) == 0 && r.Header.Get("Accept") == "" && r.Header.Get("Content-Type") == "application/json" && r.Header.Get("Content-Encoding") == ""
	switch {
	case wrong == "accepts anything", right:
		w.Header().Set("Content-Type", map[bool]string{true: "text/plain", false: "application/json"}[wrong == "media type"])
		status, text := http.StatusOK, `{"name":"good"}`
		switch wrong {
		case "status":
			status = http.StatusCreated
		case "fails":
			status = http.StatusInternalServerError
		case "field":
			text = `{"name":"good","more":1}`
		case "missing":
			text = `{}`
		case "empty":
			text = ""
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
		return
	}
	code, id, detail := "validation_failed", "1", "no"
	switch wrong {
	case "code":
		code = "other"
	case "request id":
		id = "2"
	case "echo":
		detail = strings.Map(func(c rune) rune {
			if c >= 'A' && c <= 'z' || c >= '0' && c <= '9' {
				return c
			}
			return ' '
		}, strings.ReplaceAll(body, `\`, " "))
		detail = strings.ReplaceAll(detail, `\`, " ")
	case "refuses with nothing":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	_, _ = fmt.Fprintf(w, `{"type":"/problems/%s","title":"t","status":422,"detail":%q,"code":%q,"request_id":%q,"errors":[{"location":"body","message":"no"}]}`, code, "x "+detail, code, id)
}

func readAll(r *http.Request) string {
	var b strings.Builder
	buffer := make([]byte, 1<<16)
	for {
		n, err := r.Body.Read(buffer)
		b.Write(buffer[:n])
		if err != nil {
			return b.String()
		}
	}
}

func run(t *testing.T, wrong string) (*apitest.Document, apitest.Report) {
	t.Helper()
	server := service(t, wrong)
	d, err := apitest.Load(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Run(t.Context(), apitest.Config{
		URL: server.URL, Requests: 400, Seed: 1, Tokens: func() []string { return []string{"", "token"} },
		Known: func() map[string][]string { return map[string][]string{"name": {"good"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return d, report
}

func TestServiceThatConformsToItsDocumentHasNoDefects(t *testing.T) {
	d, report := run(t, "")
	if len(report.Defects) > 0 {
		t.Errorf("%d defects, as %s", len(report.Defects), report.Defects[0])
	}
	if report.Statuses[200] < 20 || report.Statuses[422] < 100 || len(d.Unreached(report)) > 0 {
		t.Errorf("the requests cover too little: %v", report.Statuses)
	}
}

func TestEachDeviationFromTheDocumentIsReported(t *testing.T) {
	for wrong, want := range map[string]string{
		"accepts anything": "was accepted", "media type": "is not described", "status": "status is not described", "fails": "the service failed",
		"field": "not as described", "missing": "not as described", "empty": "there is none", "code": "not one of the catalogue",
		"request id": "another request id", "echo": "repeats what was sent", "refuses with nothing": "there is none",
	} {
		t.Run(wrong, func(t *testing.T) {
			_, report := run(t, wrong)
			for _, defect := range report.Defects {
				if strings.Contains(defect, want) {
					return
				}
			}
			t.Errorf("none of %d defects says %q", len(report.Defects), want)
		})
	}
}

func TestIncompleteDocumentIsReported(t *testing.T) {
	for name, change := range map[string][2]string{
		"summary": {`"summary": "Put a thing"`, `"summary": ""`}, "tag": {`"tags": ["things"]`, `"tags": []`},
		"description": {`"description": "Replaces it.", `, ``}, "description of a parameter": {`"description": "Its id.", `, ``},
		"id": {`"operationId": "put-thing"`, `"operationId": ""`}, "security": {`"security": [{"bearer": []}],`, ``},
	} {
		d, err := apitest.Read(strings.NewReader(strings.Replace(document, change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if len(d.Incomplete()) == 0 {
			t.Errorf("a missing %s is not seen", name)
		}
	}
	d, err := apitest.Read(strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if defects := d.Incomplete(); len(defects) > 0 {
		t.Error(defects)
	}
	if len(d.Incomplete("POST /things/{id}")) == 0 || len(d.Incomplete("GET /nothing")) == 0 {
		t.Error("a list of public operations that isn't true is not seen")
	}
}

func TestMissingDescriptionsExamplesAndNamesOfEnumsAreReported(t *testing.T) {
	d, err := apitest.Read(strings.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	found := strings.Join(d.Undescribed(), "; ")
	for _, want := range []string{"Thing.name has no description", "lacks an example"} {
		if !strings.Contains(found, want) {
			t.Errorf("%q is not among: %s", want, found)
		}
	}
	described := strings.NewReplacer(
		`"type": "string", "minLength"`, `"description": "Its name.", "type": "string", "minLength"`,
		`"status": {`, `"status": {"description": "The status.", `, `"application/json": {`, `"application/json": {"example": {"name": "good"}, `,
	).Replace(document)
	for change, want := range map[string]string{"": "", `"minLength": 1`: "an enum without a name"} {
		d, err := apitest.Read(strings.NewReader(strings.Replace(described, change, `"enum": ["a", "b"], `+change, min(1, len(change)))))
		if err != nil {
			t.Fatal(err)
		}
		if found := strings.Join(d.Undescribed(), "; "); !strings.Contains(found, want) || want == "" && found != "" {
			t.Errorf("%q, want %q", found, want)
		}
	}
}

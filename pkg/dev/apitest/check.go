package apitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// check lists what is wrong with an answer.
func (g *generator) check(c Config, r *request, a answer) (defects []string) {
	if a.status == http.StatusRequestHeaderFieldsTooLarge {
		return nil // net/http's own answer; the request did not reach the service
	}
	note := func(format string, values ...any) { defects = append(defects, fmt.Sprintf(format, values...)) }
	status := strconv.Itoa(a.status)
	response := r.op.responses[status]
	away := a.status == http.StatusServiceUnavailable && c.away(r.op.id)
	switch {
	case a.status >= 500 && !away:
		note("the service failed")
	case response == nil:
		note("this status is not described")
	}
	if a.status < 300 && r.invalid != "" {
		note("%s was accepted", r.invalid)
	}
	if a.header.Get("X-Request-Id") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
		note("headers that every answer has are missing")
	}
	if following := strings.Contains(a.body, `"next_cursor":`); a.status == http.StatusOK && following != strings.Contains(a.header.Get("Link"), `rel="next"`) {
		note("Link and next_cursor don't agree")
	}
	if response != nil {
		defects = append(defects, r.op.undescribed(status, object(response["content"]), a)...)
	}
	if a.status >= http.StatusBadRequest {
		defects = append(defects, g.problem(a)...)
	}
	return defects
}

// undescribed lists where media type and body differ from the description.
func (op *operation) undescribed(status string, content map[string]any, a answer) []string {
	if a.media == "text/event-stream" && content[a.media] != nil {
		return nil // a stream
	}
	schema := op.answers[status+" "+a.media]
	switch {
	case a.body == "" && len(content) > 0 && content[anyType] == nil:
		return []string{"a body is described and there is none"}
	case a.body == "":
		return nil
	case a.status < 300 && content[anyType] != nil:
		return nil // a file
	case schema == nil:
		return []string{fmt.Sprintf("media type %q is not described", a.media)}
	case !strings.HasSuffix(a.media, "json"):
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err != nil {
		return []string{"the body is no JSON: " + err.Error()}
	}
	if err := schema.Validate(value); err != nil {
		return []string{"the body is not as described: " + err.Error()}
	}
	return nil
}

// codes is the catalogue of the wire contract.
var codes = strings.Fields(`malformed_json validation_failed unsupported_media_type body_too_large headers_too_large malformed_request range_not_satisfiable not_found
	method_not_allowed not_acceptable invalid_token invalid_credentials account_pending account_rejected account_suspended
	forbidden email_taken already_decided already_accepted invalid_transition last_admin conflict version_mismatch
	invalid_cursor idempotency_missing idempotency_mismatch idempotency_in_flight invalid_scope unsupported_grant_type rate_limited unavailable internal`)

// problem lists what is wrong with an error (RFC 9457).
func (g *generator) problem(a answer) (defects []string) {
	var p struct {
		Type, Title, Detail, Code string
		Status                    int
		RequestID                 string `json:"request_id"`
		Errors                    []struct{ Location, Message string }
	}
	if a.media != "application/problem+json" {
		defects = append(defects, "an error is not application/problem+json")
	} else if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		defects = append(defects, "the problem can't be read: "+err.Error())
	}
	if p.Status != a.status || p.Title == "" || p.Detail == "" || p.Type != "/problems/"+p.Code || !slices.Contains(codes, p.Code) {
		defects = append(defects, "the problem is not one of the catalogue")
	}
	if p.RequestID != a.header.Get("X-Request-Id") {
		defects = append(defects, "the problem has another request id than the header")
	}
	if a.status == http.StatusUnprocessableEntity && p.Code == "validation_failed" && len(p.Errors) == 0 {
		defects = append(defects, "the problem doesn't say what is invalid")
	}
	if strings.Contains(a.body, g.canary) {
		defects = append(defects, "the problem repeats what was sent")
	}
	for status, name := range map[int]string{401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"} {
		if a.status == status && a.header.Get(name) == "" {
			defects = append(defects, name+" is missing")
		}
	}
	return defects
}

package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
)

// Tag groups operations in the document.
type Tag struct{ Name, Description string }

// ProblemCode is the code of a Problem.
type ProblemCode string

// codeMeaning says in the document what each code means.
var codeMeaning = map[string]string{
	errs.CodeMalformedRequest:     "The request is not HTTP that the service understands, or a form that is not one.",
	errs.CodeMalformedJSON:        "The body is not JSON, has a field twice, or ends in something else.",
	errs.CodeValidationFailed:     "A field, parameter or header is missing, unknown or has a value that is not allowed; errors lists each.",
	errs.CodeUnsupportedMediaType: "The Content-Type of the body is not one that the operation takes.",
	errs.CodeBodyTooLarge:         "The body is larger than the operation takes: 1 MiB, or the limit of a file.",
	errs.CodeRangeNotSatisfiable:  "The header Range names no part of the content.",
	errs.CodeHeadersTooLarge:      "The headers are larger than 16 KiB.",
	errs.CodeNotFound:             "There is no such thing, or the caller may not see it.",
	errs.CodeMethodNotAllowed:     "The path does not take this method.",
	errs.CodeNotAcceptable:        "The Accept header allows no media type that the operation answers in, or Accept-Encoding no content coding.",
	errs.CodeInvalidToken:         "The token is missing, malformed, expired, used up or revoked.",
	errs.CodeInvalidCredentials:   "The address or the password is wrong.",
	errs.CodeAccountPending:       "The account waits for an admin's approval.",
	errs.CodeAccountRejected:      "The registration was rejected; detail has the reason.",
	errs.CodeAccountSuspended:     "The account is suspended.",
	errs.CodeForbidden:            "The caller may not do this.",
	errs.CodeEmailTaken:           "Another account has this address.",
	errs.CodeAlreadyDecided:       "The registration was approved or rejected before.",
	errs.CodeAlreadyAccepted:      "An engineer accepted the ticket before.",
	errs.CodeInvalidTransition:    "The present status does not allow this step to the caller.",
	errs.CodeLastAdmin:            "The last approved admin can't be demoted, rejected, suspended or erased.",
	errs.CodeConflict:             "The present state does not allow this; detail has the reason.",
	errs.CodeVersionMismatch:      "It was changed since the version in If-Match.",
	errs.CodeInvalidCursor:        "The cursor is not one of this list with these filters; begin again without it.",
	errs.CodeIdempotencyMissing:   "The operation needs an Idempotency-Key.",
	errs.CodeIdempotencyMismatch:  "The Idempotency-Key was used for another request.",
	errs.CodeIdempotencyInFlight:  "The first request with this Idempotency-Key is not yet answered.",
	errs.CodeInvalidScope:         "The key does not have the scope, or has none that a token can have.",
	errs.CodeUnsupportedGrantType: "The grant_type is not client_credentials.",
	errs.CodeRateLimited:          "The caller made too many requests; Retry-After has the time to wait.",
	errs.CodeUnavailable:          "The service can't do this at the moment; Retry-After has the time to wait.",
	errs.CodeInternal:             "The service failed; request_id names the request in its log.",
}

// headerText describes every header of an answer.
var headerText = map[string]struct {
	text, example string
	integer       bool
}{
	"Accept-Patch":         {text: "The media types that PATCH takes (RFC 5789, section 3.1).", example: "application/json, application/merge-patch+json"},
	"Content-Disposition":  {text: "The name under which a browser saves the answer (RFC 6266).", example: `attachment; filename="tickets.csv"`},
	"Content-Range":        {text: "Which bytes of the file these are, and its size (RFC 9110, section 14.4).", example: "bytes 0-1023/146515"},
	"Cache-Control":        {text: "Answers about one resource are kept by browsers alone, which use them only after If-None-Match has confirmed them; all others are not stored.", example: revalidate},
	"ETag":                 {text: "Names this answer: the version of the resource, if it has one, and a hash of the body, for If-None-Match and, where an operation takes it, If-Match (RFC 9110, section 8.8.3).", example: `"3-9a0364b9e99bb480dd25e1f0284c8555"`},
	"Idempotency-Replayed": {text: "true when the answer is the stored one of the first request with the same Idempotency-Key; otherwise absent.", example: "true"},
	"Link":                 {text: `The next page, with rel="next" (RFC 8288); absent on the last page.`, example: `</v1/tickets?cursor=abc>; rel="next"`},
	"Location":             {text: "The path of what was created (RFC 9110, section 10.2.2).", example: "/v1/tickets/019b76c1-5f00-7c3a-9d4e-2f6a8b1c0d42"},
	"RateLimit":            {text: "What is left of each quota of the caller: r requests now, and more in t seconds at the latest (draft-ietf-httpapi-ratelimit-headers-10). Absent where no quota applies.", example: `"user";r=998;t=1`},
	"RateLimit-Policy":     {text: "Each quota of the caller: q requests at most, which w seconds later are all available again (draft-ietf-httpapi-ratelimit-headers-10). Absent where no quota applies.", example: `"user";q=1000;w=20`},
	"Retry-After":          {text: "Seconds after which the request may be sent again (RFC 9110, section 10.2.3).", example: "2", integer: true},
	"Vary":                 {text: "Bodies over 1 KiB are compressed with gzip or zstd as Accept-Encoding asks.", example: "Accept-Encoding"},
	"WWW-Authenticate":     {text: `Bearer, with error="invalid_token" when a token was sent (RFC 6750, section 3); Basic at a token endpoint (RFC 7617).`, example: `Bearer error="invalid_token"`},
	"X-Request-Id":         {text: "Names the request in the log: the one that was sent, if it is sane, else a new one.", example: "019b76c1-5f00-7e21-8a4b-3c5d7e9f1a20"},
}

// everyAnswer are the headers that all answers have or can have.
var everyAnswer = []string{"X-Request-Id", "RateLimit", "RateLimit-Policy"}

// problemHeaders are the further headers of an error, by its status.
var problemHeaders = map[int][]string{
	http.StatusUnauthorized:       {"WWW-Authenticate"},
	http.StatusTooManyRequests:    {"Retry-After"},
	http.StatusServiceUnavailable: {"Retry-After"},

	http.StatusRequestedRangeNotSatisfiable: {"Content-Range"},
}

// document adds to the OpenAPI document what huma doesn't describe: the codes of
// each status, all headers, examples, and the media type if the answer is a stream.
func (a *API) document(op *details, stream string) {
	a.registry.hiding = false
	item := a.huma.OpenAPI().Paths[op.Path]
	if op.Hidden || item == nil {
		return
	}
	if op.Scope != "" {
		a.huma.OpenAPI().Components.SecuritySchemes[apiKeyScheme] = apiKeySecurity
	}
	described := operationOf(item, op.Method)
	if op.conditional() {
		documentConditional(described)
	}
	a.documentRequest(op, described)
	byStatus := map[int][]string{}
	for _, code := range op.codes {
		byStatus[codeStatus[code]] = append(byStatus[codeStatus[code]], code)
	}
	for status, response := range described.Responses {
		n, err := strconv.Atoi(status)
		if err != nil || byStatus[n] == nil {
			a.documentSuccess(op, response, stream)
		}
	}
	for status, codes := range byStatus {
		described.Responses[strconv.Itoa(status)] = a.problemResponse(status, codes)
	}
}

// documentConditional adds what a client needs for a conditional GET.
func documentConditional(op *huma.Operation) {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "If-None-Match", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
		Description: "ETags of answers that the client has: 304 when one of them is still right (RFC 9110, section 13.1.2).",
		Example:     headerText["ETag"].example,
	})
	op.Responses["304"] = &huma.Response{Description: "An answer that the client has is still right; ETag names it."}
}

// documentRequest describes the body and required headers.
func (a *API) documentRequest(op *details, described *huma.Operation) {
	described.Parameters = slices.DeleteFunc(described.Parameters, func(p *huma.Param) bool {
		return p.In == "header" && p.Name == "User-Agent" // every client sends it
	})
	for _, p := range described.Parameters {
		if slices.Contains(op.Requires, p.Name) {
			p.Required = true
		}
		if p.Schema != nil && p.Schema.Description == p.Description {
			p.Schema.Description = "" // huma has it at both
		}
		if p.In == "query" && p.Schema != nil && p.Schema.Type == huma.TypeArray {
			p.Description = strings.TrimSpace(p.Description + " The values are separated by commas, or the parameter is repeated.")
		}
		if p.Schema != nil && len(p.Schema.Examples) > 0 {
			p.Example, p.Schema.Examples = p.Schema.Examples[0], nil
		}
	}
	if op.UploadMax > 0 {
		described.RequestBody = uploadBody(op.UploadMax)
	}
	if described.RequestBody == nil || op.UploadMax > 0 {
		return
	}
	media := described.RequestBody.Content["application/json"]
	media.Example = op.RequestExample
	a.withoutDefaults(media.Schema)
	if op.Method == http.MethodPatch {
		described.RequestBody.Content[mergePatch] = media
	}
	if op.TokenEndpoint {
		described.RequestBody.Content = map[string]*huma.MediaType{formType: media}
	}
}

// withoutDefaults replaces the defaults of a request's fields by words, since
// generators take a field with a default for one that is always present.
func (a *API) withoutDefaults(s *huma.Schema) {
	if s.Ref != "" {
		s = a.registry.SchemaFromRef(s.Ref)
	}
	for _, field := range s.Properties {
		if field.Default != nil {
			field.Description = strings.TrimSpace(fmt.Sprintf("%s Default: %v.", field.Description, field.Default))
			field.Default = nil
		}
	}
}

// documentSuccess describes an answer that is not an error.
func (a *API) documentSuccess(op *details, response *huma.Response, stream string) {
	headers := slices.Concat(everyAnswer, op.Headers)
	for name := range response.Headers {
		headers = append(headers, name)
	}
	if op.Method == http.MethodPatch {
		headers = append(headers, "Accept-Patch")
	}
	if op.conditional() {
		headers = append(headers, "ETag")
	}
	if op.Resource {
		headers = append(headers, "Cache-Control")
	}
	if op.compresses() {
		headers = append(headers, "Vary")
	}
	response.Headers = a.headers(headers)
	if op.produces == contentType {
		headers = append(headers, "ETag", "Cache-Control", "Content-Disposition")
		response.Headers = a.headers(headers)
	}
	if stream != "" {
		media := &huma.MediaType{Schema: streamSchema(stream)}
		if op.EventData != nil {
			media.Extensions = map[string]any{"x-itemSchema": a.eventSchema(op)}
		}
		response.Content = map[string]*huma.MediaType{stream: media}
	}
	for _, media := range response.Content {
		media.Example = op.Example
	}
}

// eventSchema describes one server-sent event as itemSchema of OpenAPI 3.2 does.
func (a *API) eventSchema(op *details) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"id"},
		Properties: map[string]*huma.Schema{
			"id":    {Type: huma.TypeString, Description: "The position in the stream, for Last-Event-ID."},
			"event": a.registry.Schema(reflect.TypeOf(op.EventKind), true, ""),
			"data": {Type: huma.TypeString, Description: "JSON on one line.", Extensions: map[string]any{
				"contentMediaType": "application/json", "contentSchema": a.registry.Schema(reflect.TypeOf(op.EventData), true, ""),
			}},
			"retry": {Type: huma.TypeInteger, Description: "Milliseconds after which to connect again."},
		},
	}
}

// streamSchema describes a stream: an object of any members for JSON, else text.
func streamSchema(media string) *huma.Schema {
	if media == contentType {
		return &huma.Schema{Type: huma.TypeString, Format: "binary"}
	}
	if media == "application/json" {
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	}
	return &huma.Schema{Type: huma.TypeString}
}

// headers refers to the descriptions of the headers, which it adds to the document.
func (a *API) headers(names []string) map[string]*huma.Param {
	components := a.huma.OpenAPI().Components
	if components.Headers == nil {
		components.Headers = map[string]*huma.Param{}
	}
	refs := map[string]*huma.Param{}
	for _, name := range names {
		h, ok := headerText[name]
		if !ok {
			panic("httpapi: the header " + name + " has no description")
		}
		described := &huma.Param{Description: h.text, Example: h.example, Schema: &huma.Schema{Type: huma.TypeString}}
		if h.integer {
			described.Schema.Type = huma.TypeInteger
			described.Example, _ = strconv.Atoi(h.example)
		}
		components.Headers[name] = described
		refs[name] = &huma.Param{Ref: "#/components/headers/" + name}
	}
	return refs
}

// problemResponse refers to the description of an error with one of the codes, which
// all have the same status. It adds that to the document.
func (a *API) problemResponse(status int, codes []string) *huma.Response {
	components := a.huma.OpenAPI().Components
	if components.Responses == nil {
		components.Responses = map[string]*huma.Response{}
	}
	slices.Sort(codes)
	names, meanings, enum := make([]string, len(codes)), make([]string, len(codes)), make([]any, len(codes))
	for i, code := range codes {
		names[i], enum[i] = pascal(code), code
		meanings[i] = "`" + code + "`: " + codeMeaning[code]
	}
	name := strings.Join(names, "Or")
	components.Responses[name] = &huma.Response{
		Description: strings.Join(meanings, "\n\n"),
		Headers:     a.headers(slices.Concat(everyAnswer, problemHeaders[status])),
		Content: map[string]*huma.MediaType{problemType: {
			Schema: &huma.Schema{AllOf: []*huma.Schema{
				{Ref: schemaPrefix + "Problem"},
				{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"code": {Type: huma.TypeString, Enum: enum}}, Required: []string{"code"}},
			}},
			Example: exampleProblem(status, codes[0]),
		}},
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

func exampleProblem(status int, code string) *Problem {
	p := &Problem{
		Type: problemPath + code, Title: http.StatusText(status), Status: status, Detail: codeMeaning[code],
		Code: ProblemCode(code), RequestID: headerText["X-Request-Id"].example,
	}
	if code == errs.CodeValidationFailed {
		p.Errors = []ProblemField{{Location: "body.title", Message: "is required"}}
	}
	return p
}

// allowed names in words who may call an operation.
func (a *API) allowed(op Operation) string {
	if op.TokenEndpoint {
		return "For clients that authenticate themselves."
	}
	if op.Public {
		return "For anyone, without a token."
	}
	text := cmp.Or(a.cfg.Allowed, "Roles") + ": " + strings.Join(op.Allow, ", ") + "."
	if op.Scope != "" {
		text += " API keys need the scope `" + op.Scope + "`."
	}
	return text
}

func operationOf(item *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	}
	panic(errors.New("httpapi: method " + method + " is not supported"))
}

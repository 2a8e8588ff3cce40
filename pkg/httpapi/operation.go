package httpapi

import (
	"context"
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

// Operation describes one method on one path.
type Operation struct {
	Method, Path string
	ID           string // operationId, unique, in kebab-case
	Summary      string
	Description  string
	Tag          string
	Status       int // of success; 0 means 200 with a body and 204 without

	// Public operations need no token. Any other must name in Allow who may
	// call it: roles or scopes, as Config.Authenticate understands them.
	Public bool
	Allow  []string

	// Scope is the scope that an API key needs. Without one the operation takes
	// no API key.
	Scope string

	// Errors are the codes it can answer besides those that every operation
	// can: see commonCodes.
	Errors []string

	Hidden bool // not in the OpenAPI document
}

// metaOperation is the key of *details in a huma operation's metadata.
const metaOperation = "operation"

// details is what the pipeline needs beyond huma's description.
type details struct {
	Operation
	produces string // the media type of success
	codes    []string
}

// Register adds an operation. In and Out are huma's input and output structs:
// fields with path, query and header tags and a field Body; Location, ETag and
// other answer headers are fields of Out with a header tag.
//
// It panics on a mistake in the declaration, for example on an operation that is
// neither public nor allowed to any role.
func Register[In, Out any](a *API, op Operation, handler func(context.Context, *In) (*Out, error)) {
	h := humaOperation(op, takesBody[In](), "application/json")
	d := h.Metadata[metaOperation].(*details)
	huma.Register(a.huma, h, func(ctx context.Context, in *In) (*Out, error) {
		defer infoOf(ctx).slot.release() // a client that reads slowly keeps no slot
		out, err := handler(ctx, in)
		if err != nil {
			return nil, a.problemOf(ctx, d, err)
		}
		return out, nil
	})
	a.document(d, "")
}

// RegisterStream adds an operation whose only answer is a stream of the given
// media type, for example text/event-stream. An error that the handler returns
// is answered like any other; the stream starts after it has returned.
func RegisterStream[In any](a *API, op Operation, contentType string, handler func(context.Context, *In) (Stream, error)) {
	if op.Status == 0 {
		op.Status = http.StatusOK
	}
	h := humaOperation(op, takesBody[In](), contentType)
	d := h.Metadata[metaOperation].(*details)
	huma.Register(a.huma, h, func(ctx context.Context, in *In) (*struct{}, error) {
		stream, err := handler(ctx, in)
		if err == nil {
			err = a.stream(ctx, contentType, op.Status, stream)
		}
		return nil, a.problemOf(ctx, d, err)
	})
	a.document(d, d.produces)
}

// takesBody reports whether an input struct has a body.
func takesBody[In any]() bool {
	_, ok := reflect.TypeFor[In]().FieldByName("Body")
	return ok
}

// problemOf maps err to a problem, and warns of a code that the operation did not
// declare: a client written from the OpenAPI document does not expect it.
func (a *API) problemOf(ctx context.Context, d *details, err error) error {
	if err == nil {
		return nil // a nil *Problem would not be a nil error
	}
	p := a.problem(ctx, err)
	if !slices.Contains(d.codes, p.Code) {
		a.cfg.Logger.WarnContext(ctx, "answer is not in the OpenAPI document", "operation", d.ID, "code", p.Code)
	}
	return p
}

// humaOperation checks op and converts it to huma's form.
func humaOperation(op Operation, hasBody bool, contentType string) huma.Operation {
	switch {
	case op.ID == "" || op.Summary == "" || op.Tag == "":
		panic(fmt.Sprintf("httpapi: %s %s needs ID, Summary and Tag", op.Method, op.Path))
	case op.Public && len(op.Allow) > 0:
		panic(fmt.Sprintf("httpapi: %s is public, so Allow means nothing", op.ID))
	case !op.Public && len(op.Allow) == 0:
		panic(fmt.Sprintf("httpapi: %s is neither public nor allowed to anyone", op.ID))
	case op.Public && op.Scope != "":
		panic(fmt.Sprintf("httpapi: %s is public, so Scope means nothing", op.ID))
	}
	codes := op.answerCodes(hasBody)
	h := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path,
		Summary: op.Summary, Description: op.Description, Tags: []string{op.Tag},
		DefaultStatus: op.Status, Hidden: op.Hidden, Errors: statuses(codes),
		// The pipeline reads and bounds the body.
		MaxBodyBytes: maxBody + 1, BodyReadTimeout: -1,
		Metadata: map[string]any{metaOperation: &details{op, contentType, codes}},
	}
	if !op.Public {
		h.Security = []map[string][]string{{bearerScheme: op.Allow}}
	}
	if op.Scope != "" {
		h.Security = append(h.Security, map[string][]string{apiKeyScheme: {op.Scope}})
		h.Description = strings.TrimSpace(h.Description + "\n\nScope of an API key: `" + op.Scope + "`.")
	}
	return h
}

// The pipeline can answer any operation with commonCodes, and those that take a
// body with bodyCodes too.
var (
	commonCodes = []string{errs.CodeNotAcceptable, errs.CodeValidationFailed, errs.CodeInternal, errs.CodeUnavailable}
	bodyCodes   = []string{errs.CodeMalformedJSON, errs.CodeBodyTooLarge, errs.CodeUnsupportedMediaType}
)

// answerCodes lists every code the operation can answer, sorted.
func (op Operation) answerCodes(hasBody bool) []string {
	codes := slices.Concat(commonCodes, op.Errors)
	if hasBody {
		codes = append(codes, bodyCodes...)
	}
	if !op.Public {
		codes = append(codes, errs.CodeInvalidToken, errs.CodeForbidden)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// statuses returns the HTTP statuses of codes.
func statuses(codes []string) []int {
	var list []int
	for _, code := range codes {
		status, ok := codeStatus[code]
		if !ok {
			panic(fmt.Sprintf("httpapi: code %q has no status", code))
		}
		list = append(list, status)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// document adds to the OpenAPI document what huma doesn't describe: the codes of
// each status, and the media type if the answer is a stream.
func (a *API) document(op *details, stream string) {
	item := a.huma.OpenAPI().Paths[op.Path]
	if op.Hidden || item == nil {
		return
	}
	if op.Scope != "" {
		a.huma.OpenAPI().Components.SecuritySchemes[apiKeyScheme] = apiKeySecurity
	}
	described := operationOf(item, op.Method)
	if op.Method == http.MethodPatch && described.RequestBody != nil {
		described.RequestBody.Content[mergePatch] = described.RequestBody.Content["application/json"]
	}
	for _, code := range op.codes {
		response := described.Responses[strconv.Itoa(codeStatus[code])]
		if !strings.Contains(response.Description, "`") {
			response.Description += ":"
		}
		response.Description += " `" + code + "`"
		response.Headers = problemHeaders(codeStatus[code])
	}
	if success := described.Responses[strconv.Itoa(op.Status)]; success != nil && stream != "" {
		success.Content = map[string]*huma.MediaType{stream: {Schema: streamSchema(stream)}}
	}
}

// streamSchema describes a stream: an object of any members for JSON, else text.
func streamSchema(contentType string) *huma.Schema {
	if contentType == "application/json" {
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	}
	return &huma.Schema{Type: huma.TypeString}
}

// problemHeaders documents the headers that come with an error.
func problemHeaders(status int) map[string]*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	seconds := &huma.Param{Description: "seconds", Schema: &huma.Schema{Type: huma.TypeInteger}}
	switch status {
	case http.StatusUnauthorized:
		return map[string]*huma.Param{"WWW-Authenticate": {Schema: text}}
	case http.StatusTooManyRequests:
		return map[string]*huma.Param{"Retry-After": seconds, "RateLimit": {Schema: text}, "RateLimit-Policy": {Schema: text}}
	case http.StatusServiceUnavailable:
		return map[string]*huma.Param{"Retry-After": seconds}
	}
	return nil
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

package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

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

	// TokenEndpoint makes the operation a token endpoint of OAuth 2.0 (RFC 6749,
	// section 3.2): it is public, its body is a form of optional text fields, and its
	// errors have the member error besides those of every problem.
	TokenEndpoint bool

	// Errors are the codes it can answer besides those that every operation
	// can: see commonCodes.
	Errors []string

	// Requires are parameters that the handler refuses to miss, by an error of its
	// own. The document says that they are required.
	Requires []string

	// Headers are the headers of success that are no fields of the output.
	Headers []string

	// RequestExample and Example are bodies of a request and of its success, as
	// they are marshalled to JSON.
	RequestExample, Example any

	// SameOrigin refuses requests that a page of another origin makes, by
	// http.CrossOriginProtection; for operations that a cookie authorizes.
	SameOrigin bool

	// EventData is a value of the type of each event's data in a stream of
	// server-sent events, and EventKind one of the type of its event field.
	EventData, EventKind any

	// Resource marks a GET that answers with one resource, neither a list nor a
	// secret: it has an ETag and is answered 304 (RFC 9110, section 13).
	Resource bool

	// Tagged marks a GET of a list that has an ETag and is answered 304, too, while
	// Cache-Control stays no-store: for clients that ask again and again and keep the
	// answer themselves. See Unchanged.
	Tagged bool

	// Ahead begins what the handler will read, so that it is read together with the
	// caller's session. It is called by ReadAhead, must not block, and decides nothing:
	// the caller may turn out to be refused. The handler gets its result from Ahead.
	Ahead func(r *http.Request) any

	// Waits is how long the handler may wait for something to happen, beyond the time
	// limit of requests. It holds no slot, its context ends when the service stops,
	// and it answers then as it does when nothing happened.
	Waits time.Duration

	// Secret marks an operation that answers with a token or a key: one of
	// secretFields. It is never compressed, since the length of a compressed answer
	// depends on whether a text that was sent occurs in the secret (BREACH).
	Secret bool

	// UploadMax is the largest size in bytes of the file that the operation takes; see
	// RegisterUpload.
	UploadMax int64

	// SignedURL allows a request without an Authorization header whose query parameter
	// signature Config.AuthenticateURL accepts.
	SignedURL bool

	// AnyBody marks an operation that takes no input in its body and ignores what is
	// sent, for clients that must send something (RFC 8058).
	AnyBody bool

	// LargeBody lets the body be larger than 1 MiB.
	LargeBody *LargeBody

	Hidden bool // not in the OpenAPI document
}

// conditional reports whether success has an ETag and can be 304.
func (op Operation) conditional() bool { return op.Resource || op.Tagged }

// LargeBody describes bodies of more than 1 MiB. At most two of them are in memory at
// a time; further ones wait for the end of a request.
type LargeBody struct {
	Max    int64  // of the body, in bytes
	Member string // only a body with this member may be larger than 1 MiB
}

// metaOperation is the key of *details in a huma operation's metadata.
const metaOperation = "operation"

// details is what the pipeline needs beyond huma's description.
type details struct {
	Operation
	produces string // the media type of success
	codes    []string
}

// transfers reports whether the operation takes or sends a file.
func (d *details) transfers() bool { return d.UploadMax > 0 || d.produces == contentType }

// compresses reports whether the answers may be compressed.
func (d *details) compresses() bool { return !d.Secret && compresses(d.produces) }

// allCodings are those of answers that are made for each request.
var allCodings = []coding{gzipped, zstdded}

// codings are those that its answers may have.
func (d *details) codings() []coding {
	if d.compresses() {
		return allCodings
	}
	return nil
}

// Register adds an operation. In and Out are huma's input and output structs:
// fields with path, query and header tags and a field Body; Location, ETag and
// other answer headers are fields of Out with a header tag.
//
// It panics on a mistake in the declaration, for example on an operation that is
// neither public nor allowed to any role.
func Register[In, Out any](a *API, op Operation, handler func(context.Context, *In) (*Out, error)) {
	h := a.humaOperation(op, takesBody[In](), "application/json")
	d := h.Metadata[metaOperation].(*details)
	requireSecret(d, reflect.TypeFor[Out]())
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
	h := a.humaOperation(op, takesBody[In](), contentType)
	d := h.Metadata[metaOperation].(*details)
	huma.Register(a.huma, h, func(ctx context.Context, in *In) (*struct{}, error) {
		stream, err := handler(ctx, in)
		if err == nil {
			err = a.stream(ctx, d, stream)
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
	if !slices.Contains(d.codes, string(p.Code)) {
		a.cfg.Logger.WarnContext(ctx, "answer is not in the OpenAPI document", "operation", d.ID, "code", p.Code)
	}
	return p
}

// humaOperation checks op and converts it to huma's form.
func (a *API) humaOperation(op Operation, hasBody bool, contentType string) huma.Operation {
	switch {
	case op.ID == "" || op.Summary == "" || op.Tag == "":
		panic(fmt.Sprintf("httpapi: %s %s needs ID, Summary and Tag", op.Method, op.Path))
	case op.Public && len(op.Allow) > 0:
		panic(fmt.Sprintf("httpapi: %s is public, so Allow means nothing", op.ID))
	case !op.Public && len(op.Allow) == 0:
		panic(fmt.Sprintf("httpapi: %s is neither public nor allowed to anyone", op.ID))
	case op.TokenEndpoint && (!op.Public || !hasBody):
		panic(fmt.Sprintf("httpapi: %s is a token endpoint, so it is public and has a body", op.ID))
	case op.Public && op.Scope != "":
		panic(fmt.Sprintf("httpapi: %s is public, so Scope means nothing", op.ID))
	case op.conditional() && (op.Method != http.MethodGet || op.Secret):
		panic(fmt.Sprintf("httpapi: %s is no GET, or a secret", op.ID))
	}
	codes := op.answerCodes(hasBody)
	h := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path,
		Summary: op.Summary, Description: strings.TrimSpace(op.Description + "\n\n" + a.allowed(op)), Tags: []string{op.Tag},
		DefaultStatus: op.Status, Hidden: op.Hidden, Errors: statuses(codes),
		// The pipeline reads and bounds the body.
		MaxBodyBytes: op.maxBody() + 1, BodyReadTimeout: -1,
		Metadata: map[string]any{metaOperation: &details{op, contentType, codes}},
	}
	// The description names roles and scopes, since OpenAPI knows only the scopes of
	// OAuth. An empty list means that no token is needed.
	h.Security = []map[string][]string{}
	if !op.Public {
		h.Security = append(h.Security, map[string][]string{bearerScheme: {}})
	}
	if op.Scope != "" {
		h.Security = append(h.Security, map[string][]string{apiKeyScheme: {}})
	}
	a.registry.operation, a.registry.hiding = op.ID, op.Hidden
	return h
}

// maxBody is the size in bytes of the operation's largest body.
func (op Operation) maxBody() int64 {
	if op.LargeBody != nil {
		return op.LargeBody.Max
	}
	return maxBody
}

// The pipeline can answer any operation with commonCodes, and those that take a
// body with bodyCodes too.
var (
	commonCodes = []string{errs.CodeNotAcceptable, errs.CodeRateLimited, errs.CodeValidationFailed, errs.CodeInternal, errs.CodeUnavailable}
	bodyCodes   = []string{errs.CodeMalformedJSON, errs.CodeBodyTooLarge, errs.CodeUnsupportedMediaType}
)

// answerCodes lists every code the operation can answer, sorted.
func (op Operation) answerCodes(hasBody bool) []string {
	codes := slices.Concat(commonCodes, op.Errors)
	if op.TokenEndpoint {
		codes = append(codes, errs.CodeMalformedRequest, errs.CodeBodyTooLarge, errs.CodeUnsupportedMediaType)
	} else if op.UploadMax > 0 {
		codes = append(codes, errs.CodeMalformedRequest, errs.CodeBodyTooLarge, errs.CodeUnsupportedMediaType)
	} else if hasBody {
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

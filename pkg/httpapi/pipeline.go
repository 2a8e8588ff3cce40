package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// pipeline checks a request to one operation before huma reads it, in this
// order: authentication, authorization, the caller's rate limit, media type of the
// answer, then path, query, headers and body. So a caller without a token learns
// nothing but that.
type pipeline struct {
	api        *API
	op         *huma.Operation
	details    *details
	query      map[string]*huma.Param
	path       []string
	headers    []string
	bodySchema *huma.Schema
	times      [][]byte // the quoted names of the body's fields that are times
}

func newPipeline(a *API, op *huma.Operation) *pipeline {
	p := &pipeline{api: a, op: op, query: map[string]*huma.Param{}}
	p.details, _ = op.Metadata[metaOperation].(*details)
	if p.details == nil {
		panic("httpapi: an operation was registered with huma directly")
	}
	for _, param := range op.Parameters {
		switch param.In {
		case "query":
			p.query[param.Name] = param
		case "path":
			p.path = append(p.path, param.Name)
		case "header":
			p.headers = append(p.headers, http.CanonicalHeaderKey(param.Name))
		}
	}
	if op.RequestBody != nil {
		p.bodySchema = op.RequestBody.Content["application/json"].Schema
		p.findTimes(p.bodySchema)
	}
	return p
}

// serve runs the pipeline and the handler of a request, within the limits of
// admission and time.
func (a *API) serve(w http.ResponseWriter, r *http.Request, p *pipeline, handler func(*http.Request)) {
	info := infoOf(r.Context())
	info.route, info.connection, info.tokenEndpoint = p.op.Path, r.Context(), p.details.TokenEndpoint
	if p.op.Method == http.MethodPatch {
		w.Header()["Accept-Patch"] = []string{acceptPatch}
	}
	defer info.slot.release()
	if !info.slot.held {
		if err := info.slot.acquire(r.Context(), true); err != nil {
			info.rejected = err == errOverloaded //nolint:errorlint // the very value
			a.fail(w, r, err)
			return
		}
	}
	timeout := a.cfg.RequestTimeout + p.details.Waits
	if p.details.transfers() {
		timeout = transferTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	if p.details.Waits > 0 {
		defer context.AfterFunc(a.stopping, cancel)()
		a.allowWait(w, p.details.Waits)
	}
	r, release, err := p.admit(ctx, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	defer release()
	if p.details.Waits > 0 {
		info.slot.release()
	}
	info.request = r
	handler(r)
	if !p.details.Public && info.response.status < http.StatusBadRequest { // the service did its work
		a.outages.succeeded(r.Context(), notReady)
	}
}

// allowWait moves the deadlines of the connection, which are the server's for requests
// that don't wait. A read deadline that passes would cancel the request.
func (a *API) allowWait(w http.ResponseWriter, wait time.Duration) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(a.cfg.Now().Add(a.cfg.RequestTimeout + wait + writeTimeout))
}

var (
	sameOrigin         = http.NewCrossOriginProtection()
	errForbiddenOrigin = errs.New(errs.Forbidden, errs.CodeForbidden, "A page of another origin must not do this.")
)

// admit runs the checks. The request that it returns has the context ctx, with the
// principal in it, and is never nil. If err is nil, release must be called when the
// request is done.
func (p *pipeline) admit(ctx context.Context, r *http.Request) (_ *http.Request, release func(), err error) {
	info, ok := infoOf(ctx), false
	if p.details.SameOrigin && sameOrigin.Check(r) != nil {
		return r, nil, errForbiddenOrigin
	}
	var refusal error
	if !p.details.Public {
		info.request, info.operation = r, p.details
		var known context.Context
		if known, refusal = p.authenticate(ctx, r, info); known != nil {
			ctx, info.authenticated = known, true
		}
	}
	r = r.WithContext(ctx)
	if err := p.api.limit(r.Context(), info, refusal); err != nil {
		return r, nil, err
	}
	if refusal != nil {
		return r, nil, refusal
	}
	if p.details.produces != contentType && !accepts(r.Header["Accept"], p.details.produces) {
		return r, nil, errNotAcceptable
	}
	if info.choice, ok = negotiate(r.Header["Accept-Encoding"], p.details.codings()...); !ok {
		return r, nil, errNoCoding
	}
	if bad := p.checkText(r); len(bad) > 0 {
		return r, nil, errs.Validation(bad...)
	}
	release, err = p.bodyOutsideSlot(r, &info.slot)
	if err != nil {
		release()
		return r, nil, err
	}
	return r, release, nil
}

// bodyOutsideSlot reads the body while the request holds no slot, so that
// clients that send slowly don't delay others.
func (p *pipeline) bodyOutsideSlot(r *http.Request, s *slot) (release func(), err error) {
	if p.bodySchema == nil || r.ContentLength == 0 {
		return p.body(r)
	}
	s.release()
	if release, err = p.body(r); err != nil {
		return release, err
	}
	return release, s.acquire(r.Context(), false)
}

var (
	errNoToken = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "A bearer token is required.")
	// errBadHeader is also the answer to two headers, of which a proxy and this
	// service could use different ones.
	errBadHeader = errs.New(errs.Unauthenticated, errs.CodeInvalidToken, "The Authorization header must be one bearer token.")
)

func (p *pipeline) authenticate(ctx context.Context, r *http.Request, info *requestInfo) (context.Context, error) {
	sent := r.Header["Authorization"]
	info.sentToken = len(sent) > 0
	check, token := p.api.cfg.Authenticate, ""
	if len(sent) == 0 {
		if token = p.signature(r); token == "" {
			return nil, errNoToken
		}
		check = func(ctx context.Context, token string, allow []string, scope string) (context.Context, error) {
			return p.api.cfg.AuthenticateURL(ctx, r.URL.Path, token, allow, scope)
		}
	} else {
		var scheme string
		scheme, token, _ = strings.Cut(sent[0], " ")
		if len(sent) > 1 || !strings.EqualFold(scheme, "Bearer") || !isToken(token) {
			return nil, errBadHeader
		}
	}
	ctx, err := check(ctx, token, p.details.Allow, p.details.Scope)
	if ctx != nil && p.api.cfg.Principal != nil {
		info.principal = p.api.cfg.Principal(ctx)
	}
	return ctx, err
}

// ReadAhead calls Operation.Ahead of the request of ctx, if there is one.
// Config.Authenticate calls it when the token is genuine, before it reads the session.
func ReadAhead(ctx context.Context) {
	if info := infoOf(ctx); info != nil && info.operation != nil && info.operation.Ahead != nil {
		info.readAhead = info.operation.Ahead(info.request)
	}
}

// Ahead is what Operation.Ahead returned for the request of ctx; nil if it wasn't
// called.
func Ahead(ctx context.Context) any {
	if info := infoOf(ctx); info != nil {
		return info.readAhead
	}
	return nil
}

// signature is the signature in the query of a signed URL; "" for none.
func (p *pipeline) signature(r *http.Request) string {
	if !p.details.SignedURL || !strings.Contains(r.URL.RawQuery, "signature=") {
		return ""
	}
	if list := r.URL.Query()["signature"]; len(list) == 1 && isToken(list[0]) {
		return list[0]
	}
	return ""
}

// isToken reports whether s has the syntax b64token of RFC 6750, section 2.1.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

var tokenBytes = func() (is [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") {
		is[c] = true
	}
	return is
}()

// checkText refuses text that is not UTF-8 or has NUL, and parameters that
// are unknown, empty, or repeated without being a list.
func (p *pipeline) checkText(r *http.Request) (bad []errs.Field) {
	for _, name := range p.path {
		value := r.PathValue(name)
		if r.URL.RawPath != "" {
			value, _ = url.PathUnescape(value)
		}
		if !sane(value) {
			bad = append(bad, errs.Field{Location: "path." + name, Message: insane})
		}
	}
	for _, name := range p.headers {
		values := r.Header[name]
		if len(values) > 1 {
			bad = append(bad, errs.Field{Location: "header." + name, Message: "must not be repeated"})
		} else if len(values) == 1 && !sane(values[0]) {
			bad = append(bad, errs.Field{Location: "header." + name, Message: insane})
		} else if len(values) == 1 && values[0] == "" && (name == idempotencyKey || name == ifMatch) {
			bad = append(bad, errs.Field{Location: "header." + name, Message: "must not be empty"})
		}
	}
	if r.URL.RawQuery != "" {
		bad = append(bad, p.checkQuery(r)...)
	}
	return bad[:min(len(bad), maxListedErrors)]
}

// These headers are refused when they are present and empty, since the sender expects
// a protection, against repetition or against overwriting, that it would not have.
const (
	idempotencyKey = "Idempotency-Key"
	ifMatch        = "If-Match"
)

const insane = "must be UTF-8 without NUL characters"

func sane(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func (p *pipeline) checkQuery(r *http.Request) (bad []errs.Field) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return []errs.Field{{Location: "query", Message: "is not well formed"}}
	}
	for name, list := range values {
		if message := p.checkParam(name, list); message != "" {
			bad = append(bad, errs.Field{Location: saneLocation("query." + name), Message: message})
		}
		if len(list) > 1 { // huma reads a list only in the form with commas
			values[name] = []string{strings.Join(list, ",")}
		}
	}
	// huma parses the raw query differently: "a" alone is "true" to it.
	r.URL.RawQuery = values.Encode()
	return bad
}

// checkParam returns what is wrong with one query parameter, "" if nothing.
func (p *pipeline) checkParam(name string, list []string) string {
	param, known := p.query[name]
	switch {
	case !known:
		return "is not a known parameter"
	case len(list) > 1 && param.Schema.Type != huma.TypeArray:
		return "must not be repeated"
	}
	for _, value := range list {
		if !sane(value) {
			return insane
		}
		if message := checkSpelling(param.Schema, value); message != "" {
			return message
		}
	}
	return ""
}

// checkSpelling refuses values that huma takes and the OpenAPI document does
// not describe: "" for anything but free text, "t" and "1" for booleans, "+1"
// for whole numbers, an offset of 24 hours for times.
func checkSpelling(s *huma.Schema, value string) string {
	freeText := s.Type == huma.TypeString && s.Format == "" && s.Pattern == "" &&
		len(s.Enum) == 0 && (s.MinLength == nil || *s.MinLength == 0)
	switch {
	case value == "" && !freeText:
		return "must not be empty"
	case s.Type == huma.TypeBoolean && value != "true" && value != "false":
		return "must be true or false"
	case s.Type == huma.TypeInteger && strings.HasPrefix(value, "+"):
		return "must be a whole number"
	case s.Format == formatTime && !isTime(value):
		return validation.MsgExpectedRFC3339DateTime
	case s.Type == huma.TypeInteger && s.Format == "int32":
		if _, err := strconv.ParseInt(value, 10, 32); err != nil {
			return "must be a whole number of 32 bits" // huma would truncate it
		}
	}
	return ""
}

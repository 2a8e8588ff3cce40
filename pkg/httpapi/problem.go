package httpapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/obs"
)

// Problem is the body of every error (RFC 9457).
type Problem struct {
	Type      string         `json:"type" doc:"The kind of problem: /problems/ and the code, a URI reference that leads to a page about it. Programs branch on code." format:"uri-reference"`
	Title     string         `json:"title" doc:"The HTTP status in words."`
	Status    int            `json:"status" doc:"The HTTP status."`
	Detail    string         `json:"detail" doc:"What went wrong, for people."`
	Code      ProblemCode    `json:"code" doc:"What went wrong, for programs: stable."`
	RequestID string         `json:"request_id" doc:"Names this request in the log."`
	Errors    []ProblemField `json:"errors,omitempty" doc:"What is wrong with the input, one by one."`
	// OAuthError is the member by which OAuth clients recognise an error.
	OAuthError string `json:"error,omitempty" doc:"At a token endpoint alone: the error code of RFC 6749, section 5.2."`

	headers http.Header
}

// ProblemField is one thing wrong with the input.
type ProblemField struct {
	Location string `json:"location" doc:"Where, for example body.title or query.limit."`
	Message  string `json:"message" doc:"What would be right. The value that was sent is never repeated."`
}

// Error returns code and detail.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus is the status, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the headers that come with the status, for huma.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is the media type, for huma.
func (p *Problem) ContentType(string) string { return problemType }

const (
	problemType = "application/problem+json"

	// statusClientGone is the status in the log and metrics when the client closed
	// the connection before the answer; no client receives it.
	statusClientGone = 499

	defaultRetryAfter = time.Second
)

// kindStatus is the one mapping from kinds to HTTP.
var kindStatus = map[errs.Kind]int{
	errs.Internal: http.StatusInternalServerError, errs.BadRequest: http.StatusBadRequest,
	errs.Unauthenticated: http.StatusUnauthorized, errs.Forbidden: http.StatusForbidden,
	errs.NotFound: http.StatusNotFound, errs.Conflict: http.StatusConflict,
	errs.PreconditionFailed: http.StatusPreconditionFailed, errs.Invalid: http.StatusUnprocessableEntity,
	errs.RateLimited: http.StatusTooManyRequests, errs.Unavailable: http.StatusServiceUnavailable,
}

// codeStatus is the catalogue of the contract: each code with its status.
var codeStatus = map[string]int{
	errs.CodeMalformedRequest: 400, errs.CodeMalformedJSON: 400, errs.CodeInvalidCursor: 400, errs.CodeIdempotencyMissing: 400,
	errs.CodeInvalidScope: 400, errs.CodeUnsupportedGrantType: 400,
	errs.CodeInvalidToken: 401, errs.CodeInvalidCredentials: 401,
	errs.CodeAccountPending: 403, errs.CodeAccountRejected: 403, errs.CodeAccountSuspended: 403, errs.CodeForbidden: 403,
	errs.CodeNotFound: 404, errs.CodeMethodNotAllowed: 405, errs.CodeNotAcceptable: 406,
	errs.CodeEmailTaken: 409, errs.CodeAlreadyDecided: 409, errs.CodeAlreadyAccepted: 409, errs.CodeInvalidTransition: 409,
	errs.CodeLastAdmin: 409, errs.CodeConflict: 409, errs.CodeIdempotencyInFlight: 409,
	errs.CodeVersionMismatch: 412, errs.CodeBodyTooLarge: 413, errs.CodeUnsupportedMediaType: 415,
	errs.CodeRangeNotSatisfiable: 416, errs.CodeHeadersTooLarge: 431, errs.CodeValidationFailed: 422, errs.CodeIdempotencyMismatch: 422,
	errs.CodeRateLimited: 429, errs.CodeInternal: 500, errs.CodeUnavailable: 503,
}

// problemCodes lists the catalogue, sorted.
func problemCodes() []ProblemCode {
	var list []ProblemCode
	for code := range codeStatus {
		list = append(list, ProblemCode(code))
	}
	slices.Sort(list)
	return list
}

// Errors of this package itself. The status of BadRequest is that of the code,
// since errs has no kind for what exists in HTTP alone.
var (
	errNoSuchPath       = errs.New(errs.NotFound, errs.CodeNotFound, "There is nothing at this path.")
	errMethodNotAllowed = errs.New(errs.BadRequest, errs.CodeMethodNotAllowed, "This path does not take this method; the Allow header lists those it takes.")
	errNotAcceptable    = errs.New(errs.BadRequest, errs.CodeNotAcceptable, "The answer can't be given in a media type that the Accept header allows.")
	errNoCoding         = errs.New(errs.BadRequest, errs.CodeNotAcceptable, "The answer can't be given in a content coding that the Accept-Encoding header allows.")
	errInternal         = errs.New(errs.Internal, errs.CodeInternal, "Something went wrong on our side. The request id names it in our log.")
	errUnavailable      = errs.New(errs.Unavailable, errs.CodeUnavailable, "The service can't do this at the moment. Try again soon.")
)

// fail answers err where huma doesn't: before it and outside of it.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(r.Context(), err)
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	var body bytes.Buffer
	_ = jsonFormat.Marshal(&body, p) // can't fail for a Problem
	w.Header()["Content-Type"] = []string{problemType}
	w.Header()["Content-Length"] = []string{strconv.Itoa(body.Len())}
	info := infoOf(r.Context())
	info.answerFirst(w, r)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body.Bytes())
	info.sendFirst(w)
}

// problem is the one mapping from errors to answers. It logs an error that is not
// an *errs.Error, and never answers its text. Of errors answered 503, the beginning
// and the end of an outage are logged.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var done *Problem
	if errors.As(err, &done) {
		return done
	}
	e := errs.As(err)
	switch {
	case e != nil && e.Kind != errs.Internal:
		if e.Kind == errs.Unavailable && e != errOverloaded && e != a.starting.Load() { // counted; logged by SetStarting
			a.outages.failed(ctx, handlerRefused, "unavailable", err)
		}
	case errors.Is(err, context.Canceled) && errors.Is(context.Cause(ctx), context.Canceled):
		p := newProblem(ctx, errUnavailable)
		p.Status = statusClientGone
		return p
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		e = errUnavailable
		a.outages.failed(ctx, deadlineReached, "unavailable", err)
	case a.cfg.Unavailable != nil && a.cfg.Unavailable(err):
		e = errUnavailable
		a.outages.failed(ctx, dependencyAway, "unavailable", err)
	default:
		if e == nil {
			e = errInternal
		}
		logError(ctx, a.cfg.Logger, slog.LevelError, "request failed", err)
	}
	return newProblem(ctx, e)
}

// logError logs err with the route of its request.
func logError(ctx context.Context, log *slog.Logger, level slog.Level, msg string, err error) {
	route := ""
	if info := infoOf(ctx); info != nil {
		route = info.route
	}
	log.LogAttrs(ctx, level, msg, slog.String("route", route), slog.Any("error", err))
}

// newProblem converts e to a problem.
func newProblem(ctx context.Context, e *errs.Error) *Problem {
	status := kindStatus[e.Kind]
	if s, ok := codeStatus[e.Code]; ok && e.Kind == errs.BadRequest {
		status = s
	}
	p := &Problem{
		Type: problemPath + e.Code, Title: http.StatusText(status), Status: status,
		Detail: e.Message, Code: ProblemCode(e.Code), RequestID: obs.RequestID(ctx),
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, ProblemField(f))
	}
	if info := infoOf(ctx); info != nil && info.tokenEndpoint {
		p.OAuthError = oauthErrors[e.Code]
	}
	switch status {
	case http.StatusUnauthorized:
		p.headers = http.Header{"Www-Authenticate": {challenge(ctx, e)}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.headers = http.Header{"Retry-After": {retryAfter(e.RetryAfter)}}
	}
	return p
}

// challenge returns the WWW-Authenticate header (RFC 6750, section 3), which has
// invalid_token only when a token was sent. At a token endpoint it is Basic (RFC
// 6749, section 5.2).
func challenge(ctx context.Context, e *errs.Error) string {
	switch info := infoOf(ctx); {
	case info != nil && info.tokenEndpoint:
		return basicChallenge
	case info != nil && info.sentToken && e.Code == errs.CodeInvalidToken:
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

// retryAfter returns d in whole seconds, rounded up, at least one.
func retryAfter(d time.Duration) string {
	d = max(d, defaultRetryAfter)
	return strconv.Itoa(int(math.Ceil(d.Seconds())))
}

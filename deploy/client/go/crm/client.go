// Package crm is a client of the CRM. Types and calls are generated from its OpenAPI
// document; New, the lists and Stream are written on top of them.
package crm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"fixdesk/deploy/client/go/internal/transport"
)

// Error is an answer with a status from 400: the problem (RFC 9457) that the service
// sent. Get it from the error of any call:
//
//	if e, ok := errors.AsType[*crm.Error](err); ok && e.Code == "version_mismatch" {
type Error struct {
	Problem
	// RetryAfter is how long to wait before the next try; 0 when the service doesn't say.
	RetryAfter time.Duration
}

// Error returns the status, the code and the explanation.
func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail) }

// Config has what a client needs besides the service's URL. The zero value is one
// for the operations that need no token.
type Config struct {
	// Token returns the token of each request: an access token or an API key; see
	// Bearer. Nil sends none.
	Token func(context.Context) (string, error)
	// HTTP sends the requests. Nil is a client without a time limit: the context of
	// a call limits it, and a stream of events has no end.
	HTTP *http.Client
}

// Bearer is a token that doesn't change.
func Bearer(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

// New returns a client of the CRM at url, for example http://localhost:8080. A call
// that isn't answered with success returns an *Error, and other errors when there
// is no answer. So JSON200 (or JSON201) is set whenever the error is nil.
func New(url string, c Config) (*ClientWithResponses, error) {
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	return NewClientWithResponses(url, WithHTTPClient(transport.Doer{HTTP: c.HTTP, Token: c.Token, Problem: problem}))
}

// problem decodes an error's body. A proxy's error may be none.
func problem(f transport.Failure) error {
	e := &Error{RetryAfter: f.RetryAfter}
	if json.Unmarshal(f.Body, &e.Problem) != nil || e.Code == "" {
		e.Problem = Problem{Title: http.StatusText(f.Status), Detail: "The answer has no problem document."}
	}
	e.Status = int64(f.Status)
	return e
}

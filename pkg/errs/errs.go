// Package errs is the vocabulary of failure that both services share: what
// kind of error it is, the stable code a client may branch on, and the sentence a
// person reads. The cause is logged and never answered.
//
// It must not know HTTP; fixdesk/pkg/httpapi holds the one mapping to it.
package errs

import (
	"errors"
	"time"
)

// Kind is the kind of an error. Each has one HTTP status.
type Kind uint8

// The kinds, in the order of the HTTP status they become.
const (
	Internal           Kind = iota // a defect or an unexpected failure: 500
	BadRequest                     // the request can't be understood: 400
	Unauthenticated                // the caller is not known: 401
	Forbidden                      // the caller is known and may not: 403
	NotFound                       // absent, or hidden from the caller: 404
	Conflict                       // the present state forbids it: 409
	PreconditionFailed             // If-Match names an old version: 412
	Invalid                        // understood and wrong: 422
	RateLimited                    // too often: 429, with RetryAfter
	Unavailable                    // something this process needs is down: 503, with RetryAfter
)

// The catalogue of codes. They are part of the wire contract: a code is added,
// never renamed.
const (
	CodeMalformedJSON        = "malformed_json"
	CodeValidationFailed     = "validation_failed"
	CodeUnsupportedMediaType = "unsupported_media_type"
	CodeBodyTooLarge         = "body_too_large"
	CodeHeadersTooLarge      = "headers_too_large"
	CodeMalformedRequest     = "malformed_request"
	CodeRangeNotSatisfiable  = "range_not_satisfiable"
	CodeNotFound             = "not_found"
	CodeMethodNotAllowed     = "method_not_allowed"
	CodeNotAcceptable        = "not_acceptable"
	CodeInvalidToken         = "invalid_token"
	CodeInvalidCredentials   = "invalid_credentials"
	CodeAccountPending       = "account_pending"
	CodeAccountRejected      = "account_rejected"
	CodeAccountSuspended     = "account_suspended"
	CodeForbidden            = "forbidden"
	CodeEmailTaken           = "email_taken"
	CodeAlreadyDecided       = "already_decided"
	CodeAlreadyAccepted      = "already_accepted"
	CodeInvalidTransition    = "invalid_transition"
	CodeLastAdmin            = "last_admin"
	CodeConflict             = "conflict"
	CodeVersionMismatch      = "version_mismatch"
	CodeInvalidCursor        = "invalid_cursor"
	CodeIdempotencyMissing   = "idempotency_missing"
	CodeIdempotencyMismatch  = "idempotency_mismatch"
	CodeIdempotencyInFlight  = "idempotency_in_flight"
	CodeInvalidScope         = "invalid_scope"
	CodeUnsupportedGrantType = "unsupported_grant_type"
	CodeRateLimited          = "rate_limited"
	CodeUnavailable          = "unavailable"
	CodeInternal             = "internal"
)

// Field is one thing wrong with the input: where (for example "body.title" or
// "query.limit") and what would be right. The message never repeats the value.
type Field struct {
	Location string
	Message  string
}

// Error is a failure with a meaning. Message is for people and is answered to
// the client; the cause is for the log alone.
type Error struct {
	Kind       Kind
	Code       string
	Message    string
	Fields     []Field
	RetryAfter time.Duration
	cause      error
}

// New makes an error of the given kind and code. The message is a sentence for
// people and is sent to the client as it is.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Validation makes an Invalid error with code validation_failed that lists
// what is wrong with the input.
func Validation(fields ...Field) *Error {
	return &Error{
		Kind: Invalid, Code: CodeValidationFailed,
		Message: "The request has invalid values; each is listed in errors.",
		Fields:  fields,
	}
}

// Missing is the one answer for a thing that is absent or hidden from the caller,
// so that the two can't be distinguished.
func Missing() *Error {
	return New(NotFound, CodeNotFound, "There is nothing here, or nothing that you may see.")
}

// VersionMismatch is the answer when If-Match does not allow a change.
func VersionMismatch() *Error {
	return New(PreconditionFailed, CodeVersionMismatch, "It was changed since you read it. Read it again, then decide.")
}

// Because returns a copy that carries cause for the log.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// After returns a copy that asks the client to wait d before another try.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error returns the code, the message and the cause: a line for the log.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Message
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the hidden cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// As finds the *Error in err's chain; nil if there is none.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// HasCode reports whether err carries the given code.
func HasCode(err error, code string) bool {
	e := As(err)
	return e != nil && e.Code == code
}

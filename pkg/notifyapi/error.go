package notifyapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Error is an answer of the service that is not a success, read from its
// problem document (RFC 9457).
type Error struct {
	Status     int           // HTTP status
	Code       string        // the stable code, "" if the answer was no problem document
	Detail     string        // a sentence for people
	RetryAfter time.Duration // what the service asked for; 0 if nothing
}

// Error returns status, code and detail in one line.
func (e *Error) Error() string {
	return fmt.Sprintf("notification service answered %d %s: %s", e.Status, e.Code, e.Detail)
}

// Temporary reports whether the same request may succeed later: 408, 425, 429,
// every 5xx, and 409 while the first request of the key is in flight. Any
// other status is permanent.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusConflict:
		return e.Code == "idempotency_in_flight"
	}
	return e.Status >= 500
}

// maxProblem bounds what is read of an error's body, in bytes.
const maxProblem = 64 << 10

func readError(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
		Title  string `json:"title"`
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil && json.Unmarshal(body, &problem) == nil {
		e.Code, e.Detail = problem.Code, problem.Detail
		if e.Detail == "" {
			e.Detail = problem.Title
		}
	}
	if e.Detail == "" {
		e.Detail = http.StatusText(resp.StatusCode)
	}
	return e
}

// retryAfter reads both forms of RFC 9110 section 10.2.3; a date is compared
// with the answer's own.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	now, dateErr := http.ParseTime(h.Get("Date"))
	if err != nil || dateErr != nil || !at.After(now) {
		return 0
	}
	return at.Sub(now)
}

// Package transport is what the clients of both services share: the bearer token,
// problems as errors, and lists that are read page by page.
package transport

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"
)

// maxProblem is how much of an answer is read for an error, in bytes.
const maxProblem = 1 << 20

// Token returns the bearer token of a request; "" sends none.
type Token func(context.Context) (string, error)

// Doer sends a request with its token. An answer with a status from 400 is the
// error that Problem makes of it.
type Doer struct {
	HTTP    *http.Client
	Token   Token
	Problem func(Failure) error
}

// Failure is an answer with a status from 400.
type Failure struct {
	Status     int
	Body       []byte
	RetryAfter time.Duration // of the Retry-After header (RFC 9110, 10.2.3); 0 without one
}

// Do implements the interface of the generated clients.
func (d Doer) Do(r *http.Request) (*http.Response, error) {
	if d.Token != nil {
		token, err := d.Token(r.Context())
		if err != nil {
			return nil, fmt.Errorf("get a token: %w", err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	response, err := d.HTTP.Do(r)
	if err != nil || response.StatusCode < http.StatusBadRequest {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil {
		return nil, fmt.Errorf("read the answer with status %d: %w", response.StatusCode, err)
	}
	seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // the services send seconds, never a date
	return nil, d.Problem(Failure{Status: response.StatusCode, Body: body, RetryAfter: time.Duration(max(seconds, 0)) * time.Second})
}

// Items reads a list from a cursor, nil for its beginning: fetch returns the page at
// a cursor and the cursor of the next page, which is nil on the last. An error ends
// the list.
func Items[T any](cursor *string, fetch func(cursor *string) (items []T, next *string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for at := cursor; ; {
			items, next, err := fetch(at)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			at = next
		}
	}
}

package notifyapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
	"fixdesk/pkg/obs"
)

// answer is one scripted answer of the service; status 0 closes the connection.
type answer struct {
	status     int
	body       string
	retryAfter string
}

// scripted serves the answers in order and records the requests.
func scripted(t *testing.T, answers ...answer) (*notifyapi.Client, func() []*http.Request) {
	t.Helper()
	var mu sync.Mutex
	var seen []*http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		seen = append(seen, r)
		a := answers[min(len(seen), len(answers))-1]
		mu.Unlock()
		if a.status == 0 {
			panic(http.ErrAbortHandler)
		}
		if a.retryAfter != "" {
			w.Header().Set("Retry-After", a.retryAfter)
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(srv.Close)
	client := &notifyapi.Client{
		BaseURL: srv.URL, HTTPClient: srv.Client(), Retries: 2,
		Token: func(context.Context) (string, error) { return "tok", nil },
	}
	return client, func() []*http.Request {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestCreateSendsTokenKeyAndRequestID(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	body, _ := json.Marshal(notifyapi.Notification{ID: id, Status: notifyapi.StatusQueued})
	client, seen := scripted(t, answer{status: http.StatusAccepted, body: string(body)})

	ctx := obs.WithRequestID(t.Context(), "req-1")
	n, err := client.Create(ctx, "key-1", notifyapi.Request{Subject: "s"})
	if err != nil || n.ID != id {
		t.Fatalf("Create = %v, %v", n.ID, err)
	}
	h := seen()[0].Header
	for name, want := range map[string]string{
		"Authorization": "Bearer tok", "Idempotency-Key": "key-1",
		"X-Request-Id": "req-1", "Content-Type": "application/json",
	} {
		if h.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, h.Get(name), want)
		}
	}
}

func TestIdempotentCallsAreRetried(t *testing.T) {
	problem := `{"code":"unavailable","detail":"Try again soon."}`
	create := func(c *notifyapi.Client) error {
		_, err := c.Create(t.Context(), "k", notifyapi.Request{})
		return err
	}
	cancel := func(c *notifyapi.Client) error {
		_, err := c.Cancel(t.Context(), uuid.Nil)
		return err
	}
	tests := []struct {
		name    string
		answers []answer
		call    func(*notifyapi.Client) error
		calls   int
		status  int // of the error; 0 means success, -1 an error without one
	}{
		{"a broken connection", []answer{{}, {status: 202, body: "{}"}}, create, 2, 0},
		{"unavailable, then fine", []answer{{status: 503, body: problem}, {status: 202, body: "{}"}}, create, 2, 0},
		{"always unavailable", []answer{{status: 503, body: problem}}, create, 3, 503},
		{"a twin in flight", []answer{{status: 409, body: `{"code":"idempotency_in_flight"}`}, {status: 202, body: "{}"}}, create, 2, 0},
		{"a long Retry-After", []answer{{status: 429, body: problem, retryAfter: "60"}}, create, 1, 429},
		{"refused for good", []answer{{status: 422, body: problem}}, create, 1, 422},
		{"a cancel that broke", []answer{{}}, cancel, 1, -1},
		{"a cancel that was not taken", []answer{{status: 503, body: problem}}, cancel, 1, 503},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			client, seen := scripted(t, tc.answers...)
			err := tc.call(client)
			var answered *notifyapi.Error
			switch {
			case tc.status == 0 && err != nil, tc.status != 0 && err == nil:
				t.Fatalf("err = %v", err)
			case tc.status > 0 && (!errors.As(err, &answered) || answered.Status != tc.status):
				t.Fatalf("err = %v, want status %d", err, tc.status)
			}
			if len(seen()) != tc.calls {
				t.Errorf("%d calls, want %d", len(seen()), tc.calls)
			}
		})
	}
}

func TestErrorReportsWhetherAndWhenToRetry(t *testing.T) {
	client, _ := scripted(t, answer{status: 429, body: `{"code":"rate_limited","detail":"Slower."}`, retryAfter: "7"})
	_, err := client.Get(t.Context(), uuid.Nil)
	var e *notifyapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("err = %v", err)
	}
	if e.Status != 429 || e.Code != "rate_limited" || e.Detail != "Slower." || e.RetryAfter != 7*time.Second || !e.Temporary() {
		t.Errorf("got %+v", e)
	}
	for status, want := range map[int]bool{400: false, 401: false, 404: false, 408: true, 409: false, 422: false, 425: true, 500: true, 503: true} {
		if got := (&notifyapi.Error{Status: status}).Temporary(); got != want {
			t.Errorf("Temporary of %d = %v", status, got)
		}
	}
}

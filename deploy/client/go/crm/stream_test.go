package crm_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"fixdesk/deploy/client/go/crm"
)

// connection is what the server of a test does with one connection to the stream.
type connection func(w http.ResponseWriter, r *http.Request)

// frames answers lines, and ends the connection or leaves it open.
func frames(open bool, lines ...string) connection {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, line := range lines {
			_, _ = fmt.Fprintf(w, "%s\n", line)
		}
		_ = http.NewResponseController(w).Flush()
		if open {
			<-r.Context().Done()
		}
	}
}

func refusal(status int, code, retryAfter string) connection {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"type":"t","title":"t","status":%d,"detail":"d","code":%q,"request_id":"r"}`, status, code)
	}
}

// event is the lines of one event; the id of its ticket ends with n.
func event(n int) []string {
	return []string{
		fmt.Sprintf("id: %d", n), "event: created",
		fmt.Sprintf(`data: {"id":"01890000-0000-7000-8000-%012d","kind":"created","ticket_id":"01890000-0000-7000-8000-%012[1]d","ticket_number":%[1]d,"actor":null,"changes":{},"created_at":"2026-01-31T09:30:00Z"}`, n), "",
	}
}

// streamOf reads a stream whose nth connection is the nth given; asked receives the
// Last-Event-ID of each.
func streamOf(t *testing.T, connections ...connection) (stream iter.Seq2[crm.StreamEvent, error], asked *[]string) {
	t.Helper()
	asked = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Header.Get("Last-Event-ID"))
		if len(*asked) > len(connections) {
			refusal(http.StatusUnauthorized, "invalid_token", "")(w, r)
			return
		}
		connections[len(*asked)-1](w, r)
	}))
	t.Cleanup(server.Close)
	client, err := crm.New(server.URL, crm.Config{Token: crm.Bearer("token")})
	if err != nil {
		t.Fatal(err)
	}
	return crm.StreamWithTimes(t.Context(), client, "", time.Minute, time.Millisecond, 10*time.Millisecond), asked
}

// read reads a stream to its end.
func read(stream iter.Seq2[crm.StreamEvent, error]) (ids []string, last error) {
	for e, err := range stream {
		if err != nil {
			last = err
			continue
		}
		ids = append(ids, e.ID)
	}
	return ids, last
}

func TestStreamGoesOnAfterTheLastEventOverLostConnections(t *testing.T) {
	t.Parallel()
	stream, asked := streamOf(t,
		frames(false, slices.Concat([]string{"retry: 1", "", ": heartbeat", "id: 3", ""}, event(4), event(5), []string{"id: 6", `data: {"cut`})...),
		refusal(http.StatusServiceUnavailable, "unavailable", ""),
		refusal(http.StatusTooManyRequests, "rate_limited", ""),
		frames(false, slices.Concat(event(6), []string{": heartbeat", "id: 9", ""})...),
	)
	ids, err := read(stream)
	if want := []string{"4", "5", "6"}; !slices.Equal(ids, want) {
		t.Errorf("events %v, want %v", ids, want)
	}
	if want := []string{"", "5", "5", "5", "9"}; !slices.Equal(*asked, want) {
		t.Errorf("connected after %q, want %q", *asked, want)
	}
	if e, ok := errors.AsType[*crm.Error](err); !ok || e.Code != "invalid_token" || e.Status != http.StatusUnauthorized {
		t.Errorf("the last error is %v", err)
	}
}

func TestSilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	client := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Last-Event-ID") {
		case "":
			frames(true, event(1)...)(w, r)
		case "1":
			frames(true, event(2)...)(w, r)
		default:
			refusal(http.StatusForbidden, "forbidden", "")(w, r)
		}
	})
	if ids, _ := read(crm.StreamWithTimes(t.Context(), client, "", 200*time.Millisecond, time.Millisecond, time.Millisecond)); !slices.Equal(ids, []string{"1", "2"}) {
		t.Errorf("events %v", ids)
	}
}

func TestStreamWaitsAsLongAsRetryAfterSays(t *testing.T) {
	t.Parallel()
	began := time.Now()
	stream, asked := streamOf(t, refusal(http.StatusServiceUnavailable, "unavailable", "1"))
	_, _ = read(stream)
	if took := time.Since(began); took < time.Second || len(*asked) != 2 {
		t.Errorf("%d connections in %v", len(*asked), took)
	}
}

func TestStreamEndsWithItsLoopAndItsContext(t *testing.T) {
	t.Parallel()
	stream, _ := streamOf(t, frames(true, slices.Concat(event(1), event(2))...))
	for e, err := range stream {
		if err != nil || e.Event.Kind != "created" || e.ID != "1" {
			t.Errorf("got %+v, %v", e, err)
		}
		break
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(frames(true, event(1)...)))
	t.Cleanup(server.Close)
	client, err := crm.New(server.URL, crm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range crm.Stream(ctx, client, "") {
		cancel()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the last error is %v", err)
	}
}

func TestEventThatIsNoJSONEndsTheStream(t *testing.T) {
	t.Parallel()
	stream, asked := streamOf(t, frames(true, "id: 1", "data: {", ""))
	if ids, err := read(stream); len(ids) > 0 || err == nil || len(*asked) != 1 {
		t.Errorf("events %v, error %v, %d connections", ids, err, len(*asked))
	}
}

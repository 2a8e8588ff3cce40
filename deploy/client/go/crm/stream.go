package crm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StreamEvent is one change of a ticket, with its place in the stream.
type StreamEvent struct {
	// ID is what Stream begins after. Keep it to go on where this program stopped.
	ID string
	// Event is the change.
	Event Event
}

// Times of a stream. The server sends a line at least every 15 seconds.
const (
	defaultSilence = 45 * time.Second
	defaultRetry   = 2 * time.Second
	defaultMost    = 30 * time.Second
)

// Stream reads the changes of all tickets that the caller may see: those after the
// event with the id after, or from now on when it is "". When the connection is lost
// or silent for 45 seconds it connects again, after the last event received, so that
// each event is yielded once. It waits between tries as long as the server asks for,
// twice as long after each failure, at most 30 seconds, and a random part of that.
//
// It ends with ctx, whose error it yields, and with an *Error that another try can't
// mend: a token that isn't valid, or an id that doesn't belong to this stream.
func Stream(ctx context.Context, c ClientInterface, after string) iter.Seq2[StreamEvent, error] {
	return func(yield func(StreamEvent, error) bool) {
		s := &streamReader{client: c, after: after, silence: defaultSilence, retry: defaultRetry, most: defaultMost}
		s.run(ctx, yield)
	}
}

var (
	errStopped    = errors.New("the loop over the stream was left")
	errUnreadable = errors.New("the event is not as documented")
)

// final reports whether another try gives the same error.
func final(err error) bool {
	if errors.Is(err, errUnreadable) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
}

// streamReader reads a stream over any number of connections.
type streamReader struct {
	client   ClientInterface
	after    string
	silence  time.Duration // after which a connection is given up
	retry    time.Duration // the shortest wait before the next connection
	most     time.Duration // the longest
	failures int           // since the last line
}

// run reads one connection after the other.
func (s *streamReader) run(ctx context.Context, yield func(StreamEvent, error) bool) {
	for {
		err := s.read(ctx, yield)
		if errors.Is(err, errStopped) {
			return
		}
		if ctx.Err() == nil && !final(err) && s.pause(ctx, err) {
			continue
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		yield(StreamEvent{}, err)
		return
	}
}

// pause waits before the next connection. It reports false when ctx ends first.
func (s *streamReader) pause(ctx context.Context, err error) bool {
	wait := min(s.retry<<min(s.failures, 10), s.most)
	wait = wait/2 + rand.N(wait/2+1)
	if e, ok := errors.AsType[*Error](err); ok {
		wait = max(wait, e.RetryAfter)
	}
	s.failures++
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// read yields the events of one connection, and returns why it ended.
func (s *streamReader) read(ctx context.Context, yield func(StreamEvent, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(s.silence, cancel)
	defer silent.Stop()
	var params StreamEventsParams
	if s.after != "" {
		params.LastEventID = &s.after
	}
	response, err := s.client.StreamEvents(ctx, &params)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	var frame frame
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		silent.Reset(s.silence)
		s.failures = 0
		if err := s.take(&frame, strings.TrimRight(line, "\r\n"), yield); err != nil {
			return err
		}
	}
}

// frame is what was read of an event; see "Interpreting an event stream" in WHATWG
// HTML.
type frame struct {
	id   string
	data strings.Builder
}

// take handles one line. An empty one ends a frame.
func (s *streamReader) take(f *frame, line string, yield func(StreamEvent, error) bool) error {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case line == "":
		return s.dispatch(f, yield)
	case name == "id":
		f.id = value
	case name == "data":
		f.data.WriteString(value + "\n")
	case name == "retry":
		if ms, err := strconv.Atoi(value); err == nil && ms > 0 {
			s.retry = time.Duration(ms) * time.Millisecond
		}
	}
	return nil
}

// dispatch ends a frame. One without data has the position alone.
func (s *streamReader) dispatch(f *frame, yield func(StreamEvent, error) bool) error {
	defer f.data.Reset()
	if f.data.Len() == 0 {
		if f.id != "" {
			s.after = f.id
		}
		return nil
	}
	e := StreamEvent{ID: f.id}
	if err := json.Unmarshal([]byte(f.data.String()), &e.Event); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	s.after = f.id
	if !yield(e, nil) {
		return errStopped
	}
	return nil
}

package eventstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// maxStreams is how many streams one replica serves.
const maxStreams = 10000

// pace is how often a stream does what nobody asks for.
type pace struct {
	heartbeat time.Duration // so that proxies and clients know it is alive
	check     time.Duration // whether the caller is still let in
	stall     time.Duration // how long a client may not read
	retry     time.Duration // after which a client should connect again
}

var defaultPace = pace{heartbeat: 15 * time.Second, check: 4 * time.Second, stall: 10 * time.Second, retry: 2 * time.Second}

// Register mounts the stream of events.
func Register(api *httpapi.API, f *Feed) {
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/events", ID: "stream-events", Tag: "tickets", Allow: ticket.Everybody,
		Summary: "Changes of all tickets you may see, as they happen",
		Description: "Server-sent events (WHATWG HTML): id is the place in the stream, event the kind as in /v1/tickets/{id}/events, data that event as JSON with ticket_id and ticket_number. " +
			"Customers are told of the tickets they reported, without what is internal; engineers and admins of all. " +
			"The stream begins now, or behind the Last-Event-ID that the client received last: then nothing is missed and nothing told twice, however long ago that was. " +
			"Ids also come without an event, so that a quiet stream moves on; a standard client keeps them. " +
			"A comment comes every 15 seconds. The stream ends within 5 seconds when you are signed out, suspended or given another role, and when you don't read for 10 seconds.",
		Errors: []string{errs.CodeInvalidCursor},
	}, "text/event-stream", f.open)
}

type feedInput struct {
	Header string `header:"Last-Event-ID" doc:"The id that was received last; it goes before last_event_id."`
	Query  string `query:"last_event_id" doc:"The same for clients that can't set headers."`
}

var errNoSuchPosition = errs.New(errs.BadRequest, errs.CodeInvalidCursor,
	"The last event id is not one of this stream's. Connect without it to begin now.")

// open finds where the stream begins, while an error can still be answered.
func (f *Feed) open(ctx context.Context, in *feedInput) (httpapi.Stream, error) {
	if f.streams.Load() >= maxStreams {
		return nil, errs.New(errs.Unavailable, errs.CodeUnavailable, "Too many streams are open. Try again soon.").After(f.pace.check)
	}
	at, err := f.horizon(ctx)
	if err != nil {
		return nil, err
	}
	last := in.Header
	if last == "" {
		last = in.Query
	}
	if last != "" {
		given, ok := ParseFeedPosition(last)
		if !ok || given.Transaction > at.Transaction {
			return nil, errNoSuchPosition
		}
		at = given
	}
	p := identity.PrincipalFrom(ctx)
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		f.streams.Add(1)
		defer f.streams.Add(-1)
		f.Wake()
		s := &stream{feed: f, writer: w, principal: p, viewer: ticket.ViewerFrom(ctx), at: at, admitted: true}
		return s.run(ctx)
	}, nil
}

// stream is one client's place in the feed.
type stream struct {
	feed      *Feed
	writer    *httpapi.StreamWriter
	principal identity.Principal
	viewer    ticket.Viewer
	at        FeedPosition // everything up to here was told
	told      FeedPosition // the id that the client has
	admitted  bool         // at the last check; nothing is told without
}

// run tells the client what is new until one of the two goes away, or the
// caller is let in no more.
func (s *stream) run(ctx context.Context) error {
	s.writer.SetHeader("X-Accel-Buffering", "no") // nginx would hold the events back
	if err := s.write(fmt.Appendf(nil, "retry: %d\n", s.feed.pace.retry.Milliseconds())); err != nil {
		return err
	}
	if err := s.beat(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(s.feed.pace.heartbeat)
	defer heartbeat.Stop()
	check := time.NewTicker(s.feed.pace.check)
	defer check.Stop()
	for ctx.Err() == nil {
		w, err := s.tell(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-w.next:
		case <-heartbeat.C:
			err = s.beat()
		case <-check.C:
			err = s.check(ctx)
		}
		if errors.Is(err, errShownOut) {
			break
		}
		if err != nil {
			return err
		}
	}
	// So that the end of the answer reaches the client.
	return s.bound()
}

// tell sends everything up to the end of the feed's window, which it returns.
// What the window has no more comes from the database; without the database
// the stream waits.
func (s *stream) tell(ctx context.Context) (*window, error) {
	sent := false
	for {
		w := s.feed.window.Load()
		if !s.admitted {
			return w, nil
		}
		fresh, ok := w.since(s.at)
		to := w.to
		if !ok {
			var err error
			if fresh, to, err = s.feed.catchUp(ctx, s.viewer, s.at); err != nil {
				if ctx.Err() != nil || pg.Unavailable(err) {
					s.admitted = false
					return w, nil
				}
				return w, err
			}
		}
		for _, n := range fresh {
			frame := n.seenBy(s.viewer)
			if frame == nil {
				continue
			}
			if err := s.write(frame); err != nil {
				return w, err
			}
			s.told, sent = n.at, true
		}
		if to.Compare(s.at) > 0 {
			s.at = to
		}
		if ok {
			if sent {
				return w, s.flush()
			}
			return w, nil
		}
	}
}

var errShownOut = errors.New("the caller is let in no more")

// check asks whether the caller is still let in. While that can't be known the
// stream is kept and nothing is told.
func (s *stream) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	err := s.feed.StillIn(ctx, s.principal)
	s.admitted = err == nil
	switch {
	case errs.As(err) != nil:
		return errShownOut
	case err != nil && !pg.Unavailable(err) && ctx.Err() == nil:
		return fmt.Errorf("check the caller: %w", err)
	}
	return nil
}

// beat shows that the stream is alive, and where it is.
func (s *stream) beat() error {
	line := ": heartbeat\n\n"
	// Other positions name an event, which the client might not be allowed to see.
	if s.at.Compare(s.told) > 0 && (s.at.ID == uuid.Nil || s.told == FeedPosition{}) {
		line = ": heartbeat\nid: " + s.at.String() + "\n\n"
		s.told = s.at
	}
	if err := s.write([]byte(line)); err != nil {
		return err
	}
	return s.flush()
}

func (s *stream) write(b []byte) error {
	if err := s.bound(); err != nil {
		return err
	}
	_, err := s.writer.Write(b)
	return err
}

// bound gives the client time to read what is written next.
func (s *stream) bound() error {
	if err := s.writer.SetWriteDeadline(s.feed.Now().Add(s.feed.pace.stall)); err != nil {
		return fmt.Errorf("bound the client: %w", err)
	}
	return nil
}

func (s *stream) flush() error {
	if err := s.writer.Flush(); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

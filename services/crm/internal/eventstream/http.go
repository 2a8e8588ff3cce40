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

// timing has the intervals of a stream.
type timing struct {
	heartbeat time.Duration // between two comments, which keep the connection open
	check     time.Duration // between two checks of the caller's session
	stall     time.Duration // how long a client may not read
	retry     time.Duration // after which a client should connect again
}

var defaultTiming = timing{heartbeat: 15 * time.Second, check: 4 * time.Second, stall: 10 * time.Second, retry: 2 * time.Second}

// Register mounts the event stream.
func Register(api *httpapi.API, s *Service) {
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/events", ID: "stream-events", Tag: "tickets", Allow: ticket.AllRoles, Scope: identity.ScopeTicketsRead,
		Summary: "Stream of the changes of all tickets you may see",
		Description: "Server-sent events (WHATWG HTML): id is the position in the stream, event the kind as in /v1/tickets/{id}/events, data that event as JSON (the schema Event; see x-itemSchema). " +
			"Customers get the public events of the tickets that they reported or follow; engineers and admins get all. " +
			"The stream begins now, or after the Last-Event-ID that the client received last: then each event since is sent once, however old it is. " +
			"Ids are also sent without an event, so that the position of an idle stream advances; a standard client keeps them. Ids of the first release are accepted. " +
			"A comment comes every 15 seconds. The stream ends within 5 seconds when you are signed out, suspended or given another role, and when you don't read for 10 seconds. " +
			"A customer may have 5 streams open at the same time on one replica, an engineer or admin 20.",
		Errors:    []string{errs.CodeInvalidCursor, errs.CodeRateLimited},
		EventData: ticket.EventView{}, EventKind: ticket.EventKind(""),
	}, "text/event-stream", s.open)
}

type streamInput struct {
	Header string `header:"Last-Event-ID" doc:"The id that was received last; it takes precedence over last_event_id."`
	Query  string `query:"last_event_id" doc:"The same for clients that can't set headers."`
}

var errUnknownID = errs.New(errs.BadRequest, errs.CodeInvalidCursor,
	"The last event id does not belong to this stream. Connect without it to begin now.")

// open finds where the stream begins, while an error can still be answered.
func (s *Service) open(ctx context.Context, in *streamInput) (httpapi.Stream, error) {
	last := in.Header
	if last == "" {
		last = in.Query
	}
	at, err := s.begin(ctx, last)
	if err != nil {
		return nil, err
	}
	p, v := identity.PrincipalFrom(ctx), ticket.ViewerFrom(ctx)
	limit := maxStreamsCustomer
	if v.Staff() {
		limit = maxStreamsStaff
	}
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		// The stream is counted here, since Detach always runs what uncounts it.
		if err := s.admit(v.ID, limit); err != nil {
			return err
		}
		w.SetHeader("X-Accel-Buffering", "no") // stops nginx from buffering the events
		return w.Detach(ctx, func(ctx context.Context, w *httpapi.StreamWriter) error {
			defer s.streams.remove(v.ID)
			s.reader.Wake()
			c := &stream{service: s, writer: w, principal: p, viewer: v, at: at, sent: -1, authorized: true}
			return c.run(ctx)
		})
	}, nil
}

// admit counts one more stream of an account, or refuses it.
func (s *Service) admit(account uuid.UUID, limit int) error {
	switch s.streams.add(account, limit) {
	case accountFull:
		return errs.New(errs.RateLimited, errs.CodeRateLimited,
			fmt.Sprintf("You have %d event streams open. Close one first.", limit)).After(s.timing.check)
	case replicaFull:
		return errs.New(errs.Unavailable, errs.CodeUnavailable, "Too many streams are open. Try again soon.").After(s.timing.check)
	case admitted:
	}
	return nil
}

// begin returns the position after which a stream begins; the latest one without
// a last event id.
func (s *Service) begin(ctx context.Context, last string) (Position, error) {
	if last == "" {
		return s.store.latest(ctx)
	}
	id, ok := ParseEventID(last)
	if !ok {
		return 0, errUnknownID
	}
	at, known, err := s.store.resolve(ctx, id)
	if err == nil && !known {
		err = errUnknownID
	}
	return at, err
}

// stream is the stream of one client.
type stream struct {
	service    *Service
	writer     *httpapi.StreamWriter
	principal  identity.Principal
	viewer     ticket.Viewer
	at         Position // all events up to here were sent
	sent       Position // of the id that the client has; -1 for none
	authorized bool     // at the last check; otherwise no event is sent
}

// run sends new events until the client or the service ends the stream, or the
// caller may no longer read.
func (c *stream) run(ctx context.Context) error {
	if err := c.write(fmt.Appendf(nil, "retry: %d\n", c.service.timing.retry.Milliseconds())); err != nil {
		return err
	}
	if err := c.sendHeartbeat(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(c.service.timing.heartbeat)
	defer heartbeat.Stop()
	check := time.NewTicker(c.service.timing.check)
	defer check.Stop()
	for ctx.Err() == nil {
		w, err := c.send(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-w.next:
		case <-heartbeat.C:
			err = c.sendHeartbeat()
		case <-check.C:
			err = c.check(ctx)
		}
		if errors.Is(err, errNoLongerAllowed) {
			break
		}
		if err != nil {
			return err
		}
	}
	// The flush sends the end of the answer to the client.
	return c.extendDeadline()
}

// send sends all events up to the end of the service's window, which it returns.
// It reads events before the window from the database, and waits while the
// database is unavailable.
func (c *stream) send(ctx context.Context) (*window, error) {
	for {
		wrote := false
		w := c.service.window.Load()
		if !c.authorized {
			return w, nil
		}
		events, ok := w.since(c.at)
		to := w.to
		if !ok {
			var err error
			if events, to, err = c.service.catchUp(ctx, c.viewer, c.at); err != nil {
				if ctx.Err() != nil || pg.Unavailable(err) {
					c.authorized = false
					return w, nil
				}
				return w, err
			}
		}
		for _, e := range events {
			frame := e.visibleTo(c.viewer)
			if frame == nil {
				continue
			}
			if err := c.write(frame); err != nil {
				return w, err
			}
			c.sent, wrote = e.position, true
		}
		c.at = max(c.at, to)
		if wrote { // also before a wait for the next page, which would hold the buffer
			if err := c.flush(); err != nil {
				return w, err
			}
		}
		if ok {
			return w, nil
		}
	}
}

var errNoLongerAllowed = errors.New("the caller may no longer read")

// check checks whether the caller may still read. While that is unknown, the
// connection stays open and no event is sent.
func (c *stream) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	err := c.service.Check(ctx, c.principal)
	c.authorized = err == nil
	switch {
	case errs.As(err) != nil:
		return errNoLongerAllowed
	case err != nil && !pg.Unavailable(err) && ctx.Err() == nil:
		return fmt.Errorf("check the caller: %w", err)
	}
	return nil
}

// sendHeartbeat sends a comment, with the id of the present position if it changed.
func (c *stream) sendHeartbeat() error {
	line := ": heartbeat\n\n"
	if c.at != c.sent {
		line = ": heartbeat\nid: " + EventID{Number: c.at}.String() + "\n\n"
		c.sent = c.at
	}
	if err := c.write([]byte(line)); err != nil {
		return err
	}
	return c.flush()
}

func (c *stream) write(b []byte) error {
	if err := c.extendDeadline(); err != nil {
		return err
	}
	_, err := c.writer.Write(b)
	return err
}

// extendDeadline sets the time within which the client must read the next write.
func (c *stream) extendDeadline() error {
	if err := c.writer.SetWriteDeadline(c.service.Now().Add(c.service.timing.stall)); err != nil {
		return fmt.Errorf("set the write deadline: %w", err)
	}
	return nil
}

func (c *stream) flush() error {
	if err := c.writer.Flush(); err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	return nil
}

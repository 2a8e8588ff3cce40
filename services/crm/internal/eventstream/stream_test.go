package eventstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/identity"
)

func TestThousandStreamsGetAnEvent(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(nil)
	var readers []crmtest.User
	for range 50 {
		readers = append(readers, d.User("admin"))
	}
	raised := d.Raise(readers[0], "Printer", "It smokes")

	const streams = 50 * maxStreamsStaff
	clients := make([]*client, streams)
	var opening sync.WaitGroup
	turns := make(chan struct{}, 32)
	for i := range streams {
		opening.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			clients[i] = d.connect(r.url, readers[i%50].ID.String(), "")
		})
	}
	opening.Wait()
	d.Eventually("all streams are counted", func() bool { return r.openStreams() == streams })

	started := time.Now()
	r.comment(readers[0], raised, "To all", false)
	slowest := time.Duration(0)
	for _, l := range clients {
		events := l.until(commentOn(raised))
		slowest = max(slowest, events[len(events)-1].at.Sub(started))
	}
	t.Logf("the last of %d streams has the event after %s", streams, slowest)
	var closing sync.WaitGroup
	for _, l := range clients {
		closing.Go(l.close)
	}
	closing.Wait()
	d.Eventually("the streams are gone", func() bool { return r.openStreams() == 0 })
}

// openStreams reads the number of open streams from the metrics.
func (r *replica) openStreams() int {
	r.Helper()
	return int(r.gauge("event_streams_open"))
}

// gauge reads a metric of the replica.
func (r *replica) gauge(name string) float64 {
	r.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	r.Fatalf("there is no gauge %s", name)
	return 0
}

func TestStreamsBeyondTheLimitOfAReplicaAreRefused(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	d.connect(r.url, admin.ID.String(), "")
	d.Eventually("the stream is open", func() bool { return r.openStreams() == 1 })
	r.service.streams.setTotal(maxStreams)
	if p := d.request(r.url+"/v1/events", admin, "").Refused(503, errs.CodeUnavailable); !strings.Contains(p.Detail, "streams") {
		t.Errorf("%+v", p)
	}
	r.service.streams.setTotal(1)
	d.connect(r.url, admin.ID.String(), "")
}

func checkOften(s *Service) { s.timing.check = 20 * time.Millisecond }

func TestStreamsEndWhenTheCallerMayNoLongerRead(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(checkOften)
	admin := d.User("admin")
	control := d.connect(r.url, admin.ID.String(), "")
	for name, change := range map[string]string{
		"suspended": `update users set status = 'suspended' where id = $1`,
		"demoted":   `update users set role = 'customer' where id = $1`,
	} {
		engineer := d.User("engineer")
		l := d.connect(r.url, engineer.ID.String(), "")
		d.Exec(change, engineer.ID)
		if err := l.ends(); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if answer := d.request(r.url+"/v1/events", engineer, "x"); name == "suspended" && answer.Code != http.StatusUnauthorized {
			t.Errorf("%s: connected again with %d", name, answer.Code)
		}
	}
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	if e := control.next(); e.body.TicketID != raised.ID {
		t.Errorf("the other stream gets %s", e.data)
	}
}

func TestSessionIsCheckedWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	if limit := 5 * time.Second; defaultTiming.check >= limit {
		t.Errorf("every %s", defaultTiming.check)
	}
	if defaultTiming.heartbeat != 15*time.Second {
		t.Errorf("a heartbeat every %s", defaultTiming.heartbeat)
	}
}

func TestNoEventIsSentWhilePermissionIsUnknown(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	var away atomic.Bool
	var asked atomic.Int64
	r := d.newReplica(func(s *Service) {
		checkOften(s)
		s.Check = func(ctx context.Context, p identity.Principal) error {
			asked.Add(1)
			if away.Load() {
				return fmt.Errorf("read session: %w", &net.OpError{Op: "dial", Err: errors.New("refused")})
			}
			return d.Check(ctx, p)
		}
	})
	l := d.connect(r.url, admin.ID.String(), "")
	away.Store(true)
	n := asked.Load()
	d.Eventually("it was asked in vain", func() bool { return asked.Load() > n+1 })
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	r.service.Wake()
	d.Eventually("the event is in the stream", func() bool { return len(d.positioned()) > 0 })
	n = asked.Load()
	d.Eventually("it was asked in vain again", func() bool { return asked.Load() > n+1 })
	if len(l.events) > 0 {
		t.Fatal("an event was sent")
	}
	away.Store(false)
	if e := l.next(); e.body.TicketID != raised.ID {
		t.Errorf("got %s", e.data)
	}
}

func TestIdleStreamSendsHeartbeatsWithItsPosition(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, other := d.User("customer"), d.User("customer")
	r := d.newReplica(func(s *Service) { s.timing.heartbeat = 20 * time.Millisecond })
	l := d.connect(r.url, customer.ID.String(), "")
	d.Eventually("the first id", func() bool { return l.lastID() != "" })
	began := l.lastID()
	foreign := d.Raise(other, "Lamp", "It flickers")
	r.comment(other, foreign, "Still", false)
	d.Eventually("the id moves past what is not theirs", func() bool {
		p, ok := ParseEventID(l.lastID())
		return ok && !p.Event.Valid && crmtest.Get[bool](d.Env, `select count(*) filter (where position is null or position > $1) = 0 from ticket_events`, int64(p.Number))
	})
	if l.beats() < 2 || len(l.events) > 0 {
		t.Errorf("%d heartbeats, %d events", l.beats(), len(l.events))
	}
	l.close()
	// A client with such an id, or the first one, gets the events since.
	own := d.Raise(customer, "Printer", "It smokes")
	for _, last := range []string{l.lastID(), began} {
		if e := d.connect(r.url, customer.ID.String(), last).next(); e.body.TicketID != own.ID {
			t.Errorf("got %s", e.data)
		}
	}
}

func TestClientThatDoesNotReadIsDisconnected(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(func(s *Service) { s.timing.stall = 100 * time.Millisecond })
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Exec(`insert into ticket_events (id, ticket_id, kind, changes, created_at)
		select gen_random_uuid(), $1, 'updated', jsonb_build_object('description', repeat('x', 20000)), now() from generate_series(1, 1000)`, raised.ID)
	// The client that reads must not get them, since a busy machine could stall it, too.
	d.Eventually("the events have positions", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from ticket_events where position is null`) == 0
	})

	reading := d.connect(r.url, admin.ID.String(), "")
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /v1/events?last_event_id=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
		"0", admin.ID); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, status); err != nil || string(status) != "HTTP/1.1 200" { // the last that it reads
		t.Fatalf("%q, %v", status, err)
	}
	d.Eventually("the one that doesn't read is gone", func() bool { return r.service.streams.count() == 1 })
	r.comment(admin, raised, "Still there?", false)
	reading.until(commentOn(raised))
}

func TestStreamsEndCleanlyWhenTheServiceStops(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	var streams []*client
	for range 20 {
		streams = append(streams, d.connect(r.url, admin.ID.String(), ""))
	}
	started := time.Now()
	r.stop()
	for _, l := range streams {
		if err := l.ends(); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	}
	t.Logf("it took %s", time.Since(started))
}

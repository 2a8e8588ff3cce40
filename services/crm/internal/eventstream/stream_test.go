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

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/identity"
)

func TestAThousandStreamsAreToldWithinASecond(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(nil)
	raised := d.Raise(customer, "Printer", "It smokes")

	const streams = 1000
	listeners := make([]*listener, streams)
	var opening sync.WaitGroup
	turns := make(chan struct{}, 32)
	for i := range streams {
		opening.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			who := admin
			if i%2 == 0 {
				who = customer
			}
			listeners[i] = d.listen(r.url, who.ID.String(), "")
		})
	}
	opening.Wait()
	d.Eventually("all streams are counted", func() bool { return r.openStreams() == streams })

	started := time.Now()
	r.comment(admin, raised, "To all", false)
	slowest := time.Duration(0)
	for _, l := range listeners {
		events := l.until(lastComment(raised))
		slowest = max(slowest, events[len(events)-1].at.Sub(started))
	}
	t.Logf("the last of %d streams was told after %s", streams, slowest)
	if slowest > time.Second {
		t.Errorf("the last of %d streams was told after %s", streams, slowest)
	}
	var closing sync.WaitGroup
	for _, l := range listeners {
		closing.Go(l.close)
	}
	closing.Wait()
	d.Eventually("the streams are gone", func() bool { return r.openStreams() == 0 })
}

// openStreams is how many streams the metrics say are open.
func (r *replica) openStreams() int {
	r.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "feed_streams_open" {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	r.Fatal("there is no gauge of the open streams")
	return 0
}

func TestStreamsBeyondWhatAReplicaServesAreRefused(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	d.listen(r.url, admin.ID.String(), "")
	d.Eventually("the stream is open", func() bool { return r.openStreams() == 1 })
	r.feed.streams.Add(maxStreams - 1)
	if p := d.request(r.url+"/v1/events", admin, "").Refused(503, errs.CodeUnavailable); !strings.Contains(p.Detail, "streams") {
		t.Errorf("%+v", p)
	}
	r.feed.streams.Add(1 - maxStreams)
	d.listen(r.url, admin.ID.String(), "")
}

func quick(f *Feed) { f.pace.check = 20 * time.Millisecond }

func TestWhoIsShownOutLosesTheStreamAndOthersKeepTheirs(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(quick)
	admin := d.User("admin")
	control := d.listen(r.url, admin.ID.String(), "")
	for name, change := range map[string]string{
		"suspended": `update users set status = 'suspended' where id = $1`,
		"demoted":   `update users set role = 'customer' where id = $1`,
	} {
		engineer := d.User("engineer")
		l := d.listen(r.url, engineer.ID.String(), "")
		d.Exec(change, engineer.ID)
		if err := l.ends(5 * time.Second); err != io.EOF {
			t.Errorf("%s: %v", name, err)
		}
		if answer := d.request(r.url+"/v1/events", engineer, "x"); name == "suspended" && answer.Code != http.StatusUnauthorized {
			t.Errorf("%s: connected again with %d", name, answer.Code)
		}
	}
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	if e := control.next(); e.body.TicketID != raised.ID {
		t.Errorf("the other stream is told %s", e.data)
	}
}

func TestTheCheckIsDueWithinFiveSeconds(t *testing.T) {
	if limit := 5 * time.Second; defaultPace.check >= limit {
		t.Errorf("every %s", defaultPace.check)
	}
	if defaultPace.heartbeat != 15*time.Second {
		t.Errorf("a heartbeat every %s", defaultPace.heartbeat)
	}
}

func TestNothingIsToldWhileItIsUnknownWhetherTheCallerMayListen(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	var away atomic.Bool
	var asked atomic.Int64
	r := d.newReplica(func(f *Feed) {
		quick(f)
		f.StillIn = func(ctx context.Context, p identity.Principal) error {
			asked.Add(1)
			if away.Load() {
				return fmt.Errorf("read session: %w", &net.OpError{Op: "dial", Err: errors.New("refused")})
			}
			return d.stillIn(ctx, p)
		}
	})
	l := d.listen(r.url, admin.ID.String(), "")
	away.Store(true)
	n := asked.Load()
	d.Eventually("it was asked in vain", func() bool { return asked.Load() > n+1 })
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	r.feed.Wake()
	d.Eventually("the feed has the news", func() bool { return len(r.feed.window.Load().news) > 0 })
	n = asked.Load()
	d.Eventually("it was asked in vain again", func() bool { return asked.Load() > n+1 })
	if len(l.events) > 0 {
		t.Fatal("an event was told")
	}
	away.Store(false)
	if e := l.next(); e.body.TicketID != raised.ID {
		t.Errorf("told %s", e.data)
	}
}

func TestAQuietStreamShowsThatItIsAliveAndMovesOn(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, other := d.User("customer"), d.User("customer")
	r := d.newReplica(func(f *Feed) { f.pace.heartbeat = 20 * time.Millisecond })
	l := d.listen(r.url, customer.ID.String(), "")
	d.Eventually("the first id", func() bool { return l.lastID() != "" })
	began := l.lastID()
	foreign := d.Raise(other, "Lamp", "It flickers")
	r.comment(other, foreign, "Still", false)
	d.Eventually("the place moves past what is not theirs", func() bool {
		p, ok := ParseFeedPosition(l.lastID())
		return ok && p.ID == uuid.Nil && p.Transaction > crmtest.Get[uint64](d.Env, `select max(transaction_id::text::bigint) from ticket_events`)
	})
	if l.beats() < 2 || len(l.events) > 0 {
		t.Errorf("%d heartbeats, %d events", l.beats(), len(l.events))
	}
	l.close()
	// What came meanwhile is told to who comes back with such an id, or the first.
	own := d.Raise(customer, "Printer", "It smokes")
	for _, last := range []string{l.lastID(), began} {
		if e := d.listen(r.url, customer.ID.String(), last).next(); e.body.TicketID != own.ID {
			t.Errorf("told %s", e.data)
		}
	}
}

func TestAClientThatDoesntReadIsLetGo(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(func(f *Feed) { f.pace.stall = 100 * time.Millisecond })
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Exec(`insert into ticket_events (id, ticket_id, kind, changes, created_at)
		select gen_random_uuid(), $1, 'updated', jsonb_build_object('description', repeat('x', 20000)), now() from generate_series(1, 1000)`, raised.ID)

	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET /v1/events?last_event_id=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
		FeedPosition{Transaction: 1}, admin.ID); err != nil {
		t.Fatal(err)
	}
	reading := d.listen(r.url, admin.ID.String(), "")
	d.Eventually("both streams are open", func() bool { return r.feed.streams.Load() == 2 })
	d.Eventually("the one that doesn't read is gone", func() bool { return r.feed.streams.Load() == 1 })
	r.comment(admin, raised, "Still there?", false)
	reading.until(lastComment(raised))
}

func TestStreamsEndCleanlyWhenTheServiceStops(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	var streams []*listener
	for range 20 {
		streams = append(streams, d.listen(r.url, admin.ID.String(), ""))
	}
	started := time.Now()
	r.stop()
	for _, l := range streams {
		if err := l.ends(time.Second); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	}
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

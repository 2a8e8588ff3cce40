package eventstream

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// commentOn is a condition for client.until.
func commentOn(t crmtest.Ticket) func(receivedEvent) bool {
	return func(e receivedEvent) bool { return e.kind == ticket.EventCommented && e.body.TicketID == t.ID }
}

// kinds lists the kinds of the events, except assignments, whose number varies.
func kinds(events []receivedEvent) []string {
	var names []string
	for _, e := range events {
		if e.kind != "assigned" && e.kind != "unassigned" {
			names = append(names, e.kind)
		}
	}
	return names
}

func TestEachStreamHasExactlyTheEventsItsReaderMaySee(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, other, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	r := d.newReplica(nil)
	streams := map[string]*client{}
	for name, who := range map[string]crmtest.User{"customer": customer, "other": other, "engineer": engineer, "admin": admin} {
		streams[name] = d.connect(r.url, who.ID.String(), "")
	}
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", raised.Path("/decline"), crmtest.Object{"reason": "canary reason"}).Want(200)
	r.comment(admin, raised, "canary internal", true)
	theirs := d.Raise(other, "Lamp", "canary of the other")
	r.comment(engineer, theirs, "About the lamp", false)
	r.comment(engineer, raised, "About the printer", false)
	started := time.Now()

	both := []string{"created", "declined"}
	for name, want := range map[string][]string{
		"customer": append(slices.Clone(both), "commented"),
		"other":    {"created", "commented"},
		"engineer": append(slices.Clone(both), "commented", "created", "commented", "commented"),
		"admin":    append(slices.Clone(both), "commented", "created", "commented", "commented"),
	} {
		mine := raised
		if name == "other" {
			mine = theirs
		}
		events := streams[name].until(func(e receivedEvent) bool {
			return e.kind == ticket.EventCommented && e.body.TicketID == mine.ID && !strings.Contains(e.data, `"internal":true`)
		})
		if name == "other" || name == "customer" {
			for _, e := range events {
				if e.body.TicketID != mine.ID || strings.Contains(e.data, "canary") || strings.Contains(e.data, `"why"`) {
					t.Errorf("%s gets %s", name, e.data)
				}
			}
		}
		if got := kinds(events); !slices.Equal(got, want) {
			t.Errorf("%s gets %v, want %v", name, got, want)
		}
		for _, e := range events {
			if e.body.Kind != e.kind || e.body.TicketNumber == 0 || !strings.HasSuffix(e.id, e.body.ID.String()) {
				t.Errorf("id %s, event %s, data %s", e.id, e.kind, e.data)
			}
		}
		t.Logf("%s has all after %s", name, events[len(events)-1].at.Sub(started))
	}
	// The control: staff read what customers may not.
	if data, err := json.Marshal(d.Events(admin, raised)); err != nil || !strings.Contains(string(data), "canary reason") {
		t.Errorf("the admin reads %s, %v", data, err)
	}
}

func TestFollowerGetsTheEventsOfTheTicketUntilRemoved(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, follower, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	r, second := d.newReplica(nil), d.newReplica(nil)
	raised := d.Raise(customer, "Printer", "It smokes")
	path := raised.Path("/followers")
	d.Call(engineer, "POST", path, crmtest.Object{"email": follower.Email}).Want(201)
	live, reporters := d.connect(r.url, follower.ID.String(), ""), d.connect(r.url, customer.ID.String(), "")
	r.comment(engineer, raised, "canary internal", true)
	r.comment(engineer, raised, "First", false)
	theirs, wanted := live.until(commentOn(raised)), reporters.until(commentOn(raised))
	if theirs[len(theirs)-1].data != wanted[len(wanted)-1].data || strings.Contains(fmt.Sprint(theirs), "canary") || strings.Contains(fmt.Sprint(theirs), `"internal":true`) {
		t.Errorf("the follower gets %v, the reporter %v", theirs, wanted)
	}
	last := live.lastID()
	d.Call(engineer, "DELETE", path+"/"+follower.ID.String(), nil).Want(204)
	r.comment(engineer, raised, "Second", false)
	own := d.Raise(follower, "Lamp", "It flickers")
	r.comment(engineer, own, "About the lamp", false)
	for name, l := range map[string]*client{"live": live, "resumed": d.connect(r.url, follower.ID.String(), last), "resumed elsewhere": d.connect(second.url, follower.ID.String(), last)} {
		for _, e := range l.until(commentOn(own)) {
			if e.body.TicketID == raised.ID {
				t.Errorf("%s: a former follower gets %s", name, e.data)
			}
		}
	}
	reporters.until(commentOn(raised)) // the control
}

func TestEveryEventIsSentOnceUnderWritersAndDisconnects(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, other, admin := d.User("customer"), d.User("customer"), d.User("admin")
	replicas := []*replica{d.newReplica(nil), d.newReplica(nil)}
	tickets := []crmtest.Ticket{d.Raise(customer, "Printer", "It smokes"), d.Raise(other, "Lamp", "It flickers")}
	begin := d.connect(replicas[0].url, admin.ID.String(), "")
	d.Eventually("the events of before are in the stream", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from ticket_events where position is null`) == 0
	})
	begin.close()
	first := crmtest.Get[string](d.Env, `select max(position)::text from ticket_events`)

	const writers, each = 20, 25
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				r := replicas[(i+n)%2]
				r.comment(admin, tickets[i%2], fmt.Sprintf("%d of %d", n, i), i%4 == 1)
			}
		})
	}
	collected := make(chan []string, 2)
	for _, who := range []crmtest.User{customer, admin} {
		want := writers * each
		if who.Role == "customer" {
			want /= 2
		}
		go func() {
			var ids []string
			defer func() { collected <- ids }() // even after a failure
			d.collect(replicas, who, first, want, &ids)
		}()
	}
	writing.Wait()
	lists := [][]string{<-collected, <-collected}
	slices.SortFunc(lists, func(a, b []string) int { return len(a) - len(b) })

	all := crmtest.List[string](d.Env, `select position || '-' || id from ticket_events where kind = 'commented' order by position`)
	own := crmtest.List[string](d.Env, `select position || '-' || id from ticket_events where kind = 'commented' and ticket_id = $1
		order by position`, tickets[0].ID)
	if len(all) != writers*each || !slices.Equal(lists[1], all) {
		t.Errorf("the admin got %d of %d events, or in another order", len(lists[1]), len(all))
	}
	if !slices.Equal(lists[0], own) {
		t.Errorf("the customer got %d of %d events, or in another order", len(lists[0]), len(own))
	}
}

// collect reads until it has so many events, now from one replica and now from
// another, closing its stream at random.
func (d *testEnv) collect(replicas []*replica, who crmtest.User, last string, want int, ids *[]string) {
	for len(*ids) < want {
		l := d.connect(replicas[rand.IntN(2)].url, who.ID.String(), last)
		for range 1 + rand.IntN(30) {
			if len(*ids) == want {
				break
			}
			e := l.next()
			*ids, last = append(*ids, e.id), e.id
		}
		l.close()
	}
}

func TestStreamResumesBehindItsWindowAndContinues(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(nil)
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Exec(`insert into ticket_events (id, ticket_id, kind, created_at)
		select gen_random_uuid(), $1, 'updated', now() from generate_series(1, $2)`, raised.ID, 3*pageSize+7)
	r.comment(admin, raised, "canary", true)
	d.Exec(`insert into ticket_events (id, ticket_id, kind, created_at)
		select gen_random_uuid(), $1, 'updated', now() from generate_series(1, $2)`, raised.ID, pageSize)
	for _, who := range []crmtest.User{customer, admin} {
		l := d.connect(r.url, who.ID.String(), "0")
		n := 1 + 4*pageSize + 7
		if who == admin {
			n++
		}
		seen := map[string]bool{}
		for range n {
			seen[l.next().id] = true
		}
		r.comment(admin, raised, "Once more", false)
		if e := l.next(); len(seen) != n || e.kind != ticket.EventCommented || seen[e.id] {
			t.Errorf("%s got %d events of %d, then %s", who.Role, len(seen), n, e.kind)
		}
	}
}

func TestUnknownLastEventIDIsRefused(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	ahead := EventID{Number: 1 << 60}.String()
	for _, bad := range []string{"x", "-1", ahead, "1-" + strings.ToUpper(uuid.NewString()), "1-" + uuid.NewString(), ahead + "-" + uuid.Nil.String(), "18446744073709551616-" + uuid.NewString()} {
		d.request(r.url+"/v1/events", admin, bad).Refused(400, errs.CodeInvalidCursor)
		d.request(r.url+"/v1/events?last_event_id="+bad, admin, "").Refused(400, errs.CodeInvalidCursor)
	}
	d.request(r.url+"/v1/events?last=1", admin, "").Refused(422, errs.CodeValidationFailed)

	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	// A client that connects again to the same address sets the header.
	l := d.connect(r.url+"/v1/events?last_event_id="+ahead, admin.ID.String(), "0")
	if e := l.next(); e.body.TicketID != raised.ID || e.kind != ticket.EventCreated {
		t.Errorf("got %s", e.data)
	}
}

func TestIDsOfTheFirstReleaseAreResumed(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	first := d.Raise(d.User("customer"), "Printer", "It smokes")
	second := d.Raise(d.User("customer"), "Lamp", "It flickers")
	old := crmtest.List[string](d.Env, `select transaction_id || '-' || id from ticket_events where kind = 'created' order by created_at, id`)
	behindFirst := crmtest.Get[string](d.Env, `select transaction_id || '-00000000-0000-0000-0000-000000000000' from ticket_events
		where kind = 'created' and ticket_id = $1`, second.ID)
	d.Eventually("both are in the stream", func() bool {
		return crmtest.Get[int](d.Env, `select count(position) from ticket_events where kind = 'created'`) == 2
	})
	for _, id := range []string{old[0], behindFirst} {
		l := d.connect(r.url, admin.ID.String(), id)
		e := l.until(func(e receivedEvent) bool { return e.kind == ticket.EventCreated })
		if got := e[len(e)-1].body.TicketID; got != second.ID || got == first.ID {
			t.Errorf("behind %s comes the creation of %s", id, got)
		}
	}
}

func TestStreamsOfAnAccountAreLimited(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(nil)
	for role, limit := range map[string]int{"customer": maxStreamsCustomer, "admin": maxStreamsStaff} {
		who := d.User(role)
		var open []*client
		for range limit {
			open = append(open, d.connect(r.url, who.ID.String(), ""))
		}
		a := d.request(r.url+"/v1/events", who, "")
		a.Refused(429, errs.CodeRateLimited)
		if a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", role)
		}
		d.connect(r.url, d.User(role).ID.String(), "") // the control: another account
		open[0].close()
		d.Eventually("a stream can be opened after one was closed", func() bool {
			l, answer := d.open(r.url, who.ID.String(), "")
			defer l.close()
			return answer.StatusCode == http.StatusOK
		})
	}
}

// request reads the answer to a request that opens no stream.
func (d *testEnv) request(url string, who crmtest.User, last string) crmtest.Response {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+who.ID.String())
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := streamTransport.RoundTrip(request)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		d.Fatal(err)
	}
	return crmtest.Response{Env: d.Env, Code: answer.StatusCode, Header: answer.Header, Body: body}
}

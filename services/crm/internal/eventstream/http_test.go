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

// lastComment is a condition for listener.until.
func lastComment(t crmtest.Ticket) func(toldEvent) bool {
	return func(e toldEvent) bool { return e.kind == ticket.EventCommented && e.body.TicketID == t.ID }
}

// kinds names the events, save for who was given a ticket.
func kinds(events []toldEvent) []string {
	var names []string
	for _, e := range events {
		if e.kind != "assigned" && e.kind != "unassigned" {
			names = append(names, e.kind)
		}
	}
	return names
}

func TestEachIsToldOfWhatTheyMaySeeWithinASecondAndOfNothingElse(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, other, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	r := d.newReplica(nil)
	streams := map[string]*listener{}
	for name, who := range map[string]crmtest.User{"customer": customer, "other": other, "engineer": engineer, "admin": admin} {
		streams[name] = d.listen(r.url, who.ID.String(), "")
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
		events := streams[name].until(func(e toldEvent) bool {
			return e.kind == ticket.EventCommented && e.body.TicketID == mine.ID && !strings.Contains(e.data, `"internal":true`)
		})
		if name == "other" || name == "customer" {
			for _, e := range events {
				if e.body.TicketID != mine.ID || strings.Contains(e.data, "canary") || strings.Contains(e.data, `"why"`) {
					t.Errorf("%s is told %s", name, e.data)
				}
			}
		}
		if got := kinds(events); !slices.Equal(got, want) {
			t.Errorf("%s is told %v, want %v", name, got, want)
		}
		for _, e := range events {
			if e.body.Kind != e.kind || e.body.TicketNumber == 0 || !strings.HasSuffix(e.id, e.body.ID.String()) {
				t.Errorf("id %s, event %s, data %s", e.id, e.kind, e.data)
			}
		}
		if took := events[len(events)-1].at.Sub(started); took > time.Second {
			t.Errorf("%s was told after %s", name, took)
		}
	}
	// The control: what customers don't read is there to be read.
	if data, err := json.Marshal(d.Events(admin, raised)); err != nil || !strings.Contains(string(data), "canary reason") {
		t.Errorf("the admin reads %s, %v", data, err)
	}
}

func TestWhatCommitsLateIsNotMissedAndTheHorizonIsWhy(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	raised := d.Raise(customer, "Printer", "It smokes")
	r := d.newReplica(nil)
	l := d.listen(r.url, admin.ID.String(), "")

	const insert = `insert into ticket_events (id, ticket_id, kind, created_at) values ($1, $2, 'updated', now())`
	early, late := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	ctx := context.Background()
	slow, err := d.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Rollback(ctx) }()
	if _, err := slow.Exec(ctx, insert, early, raised.ID); err != nil {
		t.Fatal(err)
	}
	d.Exec(insert, late, raised.ID)

	// The control reads whatever is behind the last id it saw.
	seen := map[uuid.UUID]bool{}
	var last uuid.UUID
	naive := func() {
		for _, id := range crmtest.List[uuid.UUID](d.Env, `select id from ticket_events where id > $1 order by id`, last) {
			seen[id], last = true, id
		}
	}
	naive()
	missed, _, err := r.feed.catchUp(ctx, ticket.Viewer(admin), FeedPosition{Transaction: 1})
	if err != nil || slices.ContainsFunc(missed, func(n *news) bool { return n.at.ID == late }) {
		t.Fatalf("the feed reads beyond the horizon: %d news, %v", len(missed), err)
	}
	if err := slow.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	naive()
	if !seen[late] || seen[early] {
		t.Fatal("the control misses nothing, so this test shows nothing")
	}
	r.feed.Wake()
	if a, b := l.next().body.ID, l.next().body.ID; a != early || b != late {
		t.Errorf("told %s and %s, want %s and %s", a, b, early, late)
	}
}

func TestEveryEventIsToldOnceUnderWritersAndDisconnects(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, other, admin := d.User("customer"), d.User("customer"), d.User("admin")
	replicas := []*replica{d.newReplica(nil), d.newReplica(nil)}
	tickets := []crmtest.Ticket{d.Raise(customer, "Printer", "It smokes"), d.Raise(other, "Lamp", "It flickers")}
	first := FeedPosition{Transaction: crmtest.Get[uint64](d.Env, `select pg_current_xact_id()::text::bigint`)}.String()

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
			defer func() { collected <- ids }() // even if it was given up
			d.collect(replicas, who, first, want, &ids)
		}()
	}
	writing.Wait()
	lists := [][]string{<-collected, <-collected}
	slices.SortFunc(lists, func(a, b []string) int { return len(a) - len(b) })

	all := crmtest.List[string](d.Env, `select transaction_id || '-' || id from ticket_events where kind = 'commented' order by transaction_id, id`)
	own := crmtest.List[string](d.Env, `select transaction_id || '-' || id from ticket_events where kind = 'commented' and ticket_id = $1
		order by transaction_id, id`, tickets[0].ID)
	if len(all) != writers*each || !slices.Equal(lists[1], all) {
		t.Errorf("the admin was told %d of %d events, or in another order", len(lists[1]), len(all))
	}
	if !slices.Equal(lists[0], own) {
		t.Errorf("the customer was told %d of %d events, or in another order", len(lists[0]), len(own))
	}
}

// collect listens until it has been told so many events, now at one replica
// and now at another, breaking off at random.
func (d *testEnv) collect(replicas []*replica, who crmtest.User, last string, want int, ids *[]string) {
	for len(*ids) < want {
		l := d.listen(replicas[rand.IntN(2)].url, who.ID.String(), last)
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

func TestAStreamResumesFromLongAgoAndGoesOn(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(nil)
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Exec(`insert into ticket_events (id, ticket_id, kind, created_at)
		select gen_random_uuid(), $1, 'updated', now() from generate_series(1, $2)`, raised.ID, 3*feedPage+7)
	r.comment(admin, raised, "canary", true)
	d.Exec(`insert into ticket_events (id, ticket_id, kind, created_at)
		select gen_random_uuid(), $1, 'updated', now() from generate_series(1, $2)`, raised.ID, feedPage)
	for _, who := range []crmtest.User{customer, admin} {
		l := d.listen(r.url, who.ID.String(), FeedPosition{Transaction: 1}.String())
		n := 1 + 4*feedPage + 7
		if who == admin {
			n++
		}
		seen := map[string]bool{}
		for range n {
			seen[l.next().id] = true
		}
		r.comment(admin, raised, "Once more", false)
		if e := l.next(); len(seen) != n || e.kind != ticket.EventCommented || seen[e.id] {
			t.Errorf("%s was told %d events of %d, then %s", who.Role, len(seen), n, e.kind)
		}
	}
}

func TestAPositionThatIsNoneOfTheFeedsIsRefused(t *testing.T) {
	releaseFeedConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	r := d.newReplica(nil)
	ahead := FeedPosition{Transaction: 1 << 60, ID: admin.ID}.String()
	for _, bad := range []string{"x", "1", ahead, "1-" + strings.ToUpper(uuid.NewString()), "18446744073709551616-" + uuid.NewString()} {
		d.request(r.url+"/v1/events", admin, bad).Refused(400, errs.CodeInvalidCursor)
		d.request(r.url+"/v1/events?last_event_id="+bad, admin, "").Refused(400, errs.CodeInvalidCursor)
	}
	d.request(r.url+"/v1/events?last=1", admin, "").Refused(422, errs.CodeValidationFailed)

	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	// The header is what a client sets when it comes back to the same address.
	begin := FeedPosition{Transaction: 1}.String()
	l := d.listen(r.url+"/v1/events?last_event_id="+ahead, admin.ID.String(), begin)
	if e := l.next(); e.body.TicketID != raised.ID || e.kind != ticket.EventCreated {
		t.Errorf("told %s", e.data)
	}
}

// request reads the answer to a request that opens no stream.
func (d *testEnv) request(url string, who crmtest.User, last string) crmtest.Response {
	d.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+who.ID.String())
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	answer, err := feedTransport.RoundTrip(request)
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

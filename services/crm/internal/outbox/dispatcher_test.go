package outbox

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func TestEntryIsPostedWithItsIDAsKeyAndMarkedDone(t *testing.T) {
	o := newTestEnv(t)
	ticket := o.write(1)
	o.once()
	posts := o.service.seen()
	if len(posts) != 1 {
		t.Fatalf("%d posts, want 1", len(posts))
	}
	p := posts[0]
	if id := row[uuid.UUID](o, "select id from outbox"); p.key != id.String() {
		t.Errorf("key %s, want %s", p.key, id)
	}
	r := p.request
	if p.requestID != "req-1" || r.Requester != "crm" || *r.Reference != ticket.String() ||
		*r.Thread != "ticket-"+ticket.String() || !slices.Equal(r.Recipients, []string{"ada@example.com"}) {
		t.Errorf("posted %+v with request id %q", r, p.requestID)
	}
	o.want("done_at is not null and attempts = 1 and lease_token is null", 1)
}

func TestPostHasTheAddressThatEndsMailsOfItsKind(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	o.once()
	const before = "https://fixdesk.example/unsubscribe?token="
	secret := row[[]byte](o, "select value from secrets where name = 'unsubscribe'")
	address := o.service.seen()[0].request.UnsubscribeURL
	if address == nil || !strings.HasPrefix(*address, before) {
		t.Fatalf("address %v", address)
	}
	s, err := notice.ReadSubscription(secret, strings.TrimPrefix(*address, before))
	if err != nil || s.Kind != notice.KindTicketCommented || s.User.String() != row[string](o, "select data->'to'->>'id' from outbox") {
		t.Errorf("subscription %+v, %v", s, err)
	}
}

func TestTwoDispatchersPostEachEntryOnce(t *testing.T) {
	o := newTestEnv(t)
	const tickets, each = 150, 3
	for range tickets {
		o.write(each)
	}
	other := o.newDispatcher(o.service.URL)
	stopFirst, stopSecond := o.run(o.dispatcher), o.run(other)
	o.eventually("all done", func() bool { return o.count("done_at is null") == 0 })
	stopFirst()
	stopSecond()
	keys := map[string]int{}
	for _, p := range o.service.seen() {
		keys[p.key]++
	}
	if len(keys) != tickets*each || len(o.service.seen()) != tickets*each {
		t.Errorf("%d posts of %d entries, want %d of each", len(o.service.seen()), len(keys), tickets*each)
	}
}

// The control of the test above: without a lease both dispatchers post it.
func TestControlWithoutALeaseTwoDispatchersPostTheSameEntry(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	for _, r := range []*Dispatcher{o.dispatcher, o.newDispatcher(o.service.URL)} {
		entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: uuid.New(), Patience: blockingAttempts, Batch: batchSize})
		if err != nil {
			t.Fatal(err)
		}
		r.postAll(t.Context(), entries)
	}
	if posts := o.service.seen(); len(posts) != 2 || posts[0].key != posts[1].key {
		t.Errorf("%d posts: the lease is not what keeps them apart", len(posts))
	}
}

func TestMailsOfATicketToTwoPeopleArePostedTogether(t *testing.T) {
	o := newTestEnv(t)
	ticket := o.write(1)
	other := comment(ticket, 2)
	other.To.Email = "eve@example.com"
	o.addComment(other)
	both := make(chan struct{}) // neither is answered before the other was posted
	o.service.script(func(n int, _ post, w http.ResponseWriter) {
		if n == 2 {
			close(both)
		}
		<-both
		accept(w)
	})
	if n, _ := o.once(); n != 2 {
		t.Fatalf("claimed %d", n)
	}
	o.want("done_at is not null", 2)
}

// The control of the test above: the mails to one person are posted one after the other.
func TestEntriesOfOneReferenceToOnePersonArePostedInOrder(t *testing.T) {
	o := newTestEnv(t)
	for range 20 {
		o.write(5)
	}
	stop := o.run(o.dispatcher)
	o.eventually("all done", func() bool { return o.count("done_at is null") == 0 })
	stop()
	last := map[string]string{}
	for _, p := range o.service.seen() {
		if p.key < last[*p.request.Reference] {
			t.Errorf("%s came after %s", p.key, last[*p.request.Reference])
		}
		last[*p.request.Reference] = p.key
	}
}

func TestEntryInBackoffDelaysLaterOnesOfItsTicketUntilItFailsOften(t *testing.T) {
	o := newTestEnv(t)
	ticket := o.write(1)
	o.service.script(always(http.StatusInternalServerError, "internal"))
	o.once()
	o.service.script(nil)
	o.dispatcher.failures = 0
	o.exec("update outbox set next_attempt_at = now() + interval '1 hour'")
	if err := Add(t.Context(), o.q, noon, ticket, comment(ticket, 2)); err != nil {
		t.Fatal(err)
	}
	if n, _ := o.once(); n != 0 {
		t.Fatal("a later entry overtook one in backoff")
	}
	o.write(1)
	if n, _ := o.once(); n != 1 {
		t.Errorf("claimed %d, want the other ticket's one", n)
	}
	o.exec("update outbox set attempts = $1 where attempts = 1 and done_at is null", blockingAttempts)
	if n, _ := o.once(); n != 1 {
		t.Errorf("claimed %d, want the one that waited long enough", n)
	}
}

func TestEntryIsPostedWithinMillisecondsOfTheWake(t *testing.T) {
	o := newTestEnv(t)
	arrived := make(chan time.Time, 1)
	o.service.script(func(_ int, _ post, w http.ResponseWriter) { arrived <- time.Now(); accept(w) })
	o.dispatcher.loop.Interval = time.Hour // so that only the wake can be the cause
	o.run(o.dispatcher)
	var took []time.Duration
	for range 50 {
		o.write(1)
		woken := time.Now()
		o.dispatcher.Wake()
		took = append(took, (<-arrived).Sub(woken))
		o.eventually("settled", func() bool { return o.count("done_at is null") == 0 })
	}
	slices.Sort(took)
	t.Logf("wake to arrival: median %v, slowest %v", took[25], took[49])
	if took[25] > 2*time.Second { // milliseconds, unless the machine is busy
		t.Errorf("median %v", took[25])
	}
	connections := map[string]bool{}
	for _, p := range o.service.seen() {
		connections[p.connection] = true
	}
	if len(connections) > concurrency {
		t.Errorf("%d connections for 50 posts", len(connections))
	}
}

func TestStopFinishesPostsUnderWayAndReleasesTheOtherEntries(t *testing.T) {
	o := newTestEnv(t)
	for range 3 * concurrency {
		o.write(1)
	}
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	o.service.script(func(_ int, _ post, w http.ResponseWriter) { arrived <- struct{}{}; <-release; accept(w) })
	stop := o.run(o.dispatcher)
	for range concurrency {
		<-arrived
	}
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("stopped with posts on their way")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-stopped
	o.want("lease_token is not null", 0)
	o.want("done_at is not null", len(o.service.seen()))
}

func TestNothingSecretIsLogged(t *testing.T) {
	o := newTestEnv(t)
	o.write(2)
	reset := passwordReset()
	reset.To.Email = "canary@example.com"
	o.add(reset)
	for _, answer := range []func(int, post, http.ResponseWriter){
		always(http.StatusUnauthorized, "invalid_token"), always(http.StatusInternalServerError, "internal"), nil,
	} {
		o.service.script(answer)
		o.due()
		o.once()
		o.dispatcher.failures = 0
	}
	if s := o.log.String(); strings.Contains(s, "canary") || strings.Contains(s, "Printer on fire") {
		t.Errorf("the log has a secret or a text:\n%s", s)
	}
	o.due()
	o.once()
	o.want("done_at is null", 0)
}

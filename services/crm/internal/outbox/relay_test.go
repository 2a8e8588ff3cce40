package outbox

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func TestAnEntryIsPostedWithItsIdAsKeyAndMarkedDone(t *testing.T) {
	o := newOffice(t)
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

func TestARegistrationThatNoAdminCouldBeToldOfIsNotWritten(t *testing.T) {
	o := newOffice(t)
	if err := Add(t.Context(), o.q, noon, uuid.New(), notice.RegistrationWaiting{Role: "engineer"}); err != nil {
		t.Fatal(err)
	}
	o.want("true", 0)
}

func TestACrashBetweenTheAnswerAndTheMarkPostsTheSameAgain(t *testing.T) {
	o := newOffice(t)
	o.write(1)
	before := o.service.seen()
	entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{
		Token: uuid.New(), LeaseSeconds: lease.Seconds(), Patience: patience, Batch: batchSize,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.relay.postAll(t.Context(), entries) // accepted, and never settled
	if n, _ := o.once(); n != 0 {
		t.Fatalf("claimed %d under a running lease", n)
	}
	o.due()
	successor := o.newRelay(o.service.URL)
	if _, _, err := successor.runOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	posts := o.service.seen()[len(before):]
	if len(posts) != 2 || posts[0].key != posts[1].key || string(posts[0].body) != string(posts[1].body) {
		t.Errorf("posts differ: %+v", posts)
	}
	o.want("done_at is not null", 1)
}

// The control of the test above: other facts make another body.
func TestOtherFactsMakeAnotherBody(t *testing.T) {
	o := newOffice(t)
	ticket := o.write(1)
	if err := Add(t.Context(), o.q, noon, ticket, comment(ticket, 7)); err != nil {
		t.Fatal(err)
	}
	o.once()
	posts := o.service.seen()
	if posts[0].key == posts[1].key || string(posts[0].body) == string(posts[1].body) {
		t.Error("two entries were posted alike")
	}
}

func TestAnExpiredLeaseIsTakenOverAndALateSettlementChangesNothing(t *testing.T) {
	o := newOffice(t)
	o.write(1)
	late := uuid.New()
	entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: late, LeaseSeconds: 0, Patience: patience, Batch: 1})
	if err != nil || len(entries) != 1 {
		t.Fatalf("claimed %d, %v", len(entries), err)
	}
	again, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: uuid.New(), LeaseSeconds: 60, Patience: patience, Batch: 1})
	if err != nil || len(again) != 1 {
		t.Fatalf("took over %d, %v", len(again), err)
	}
	before := row[string](o, "select outbox::text from outbox")
	for _, v := range []verdict{posted, refused, failed, notReached, untried} {
		b := &batch{outcomes: []outcome{{entry: entries[0], judgement: judgement{verdict: v}, err: net.ErrClosed}}}
		if err := o.relay.settle(t.Context(), late, b); err != nil {
			t.Fatal(err)
		}
		if after := row[string](o, "select outbox::text from outbox"); after != before {
			t.Errorf("late %s changed the entry", v)
		}
	}
	if !strings.Contains(o.log.String(), "lease was lost") {
		t.Error("nothing in the log")
	}
}

func TestTwoRelaysPostEachEntryOnce(t *testing.T) {
	o := newOffice(t)
	const tickets, each = 150, 3
	for range tickets {
		o.write(each)
	}
	other := o.newRelay(o.service.URL)
	stopFirst, stopSecond := o.run(o.relay), o.run(other)
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

// The control of the test above: without a lease both post it.
func TestWithoutALeaseTwoRelaysPostTheSameEntry(t *testing.T) {
	o := newOffice(t)
	o.write(1)
	for _, r := range []*Relay{o.relay, o.newRelay(o.service.URL)} {
		entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: uuid.New(), Patience: patience, Batch: batchSize})
		if err != nil {
			t.Fatal(err)
		}
		r.postAll(t.Context(), entries)
	}
	if posts := o.service.seen(); len(posts) != 2 || posts[0].key != posts[1].key {
		t.Errorf("%d posts: the lease is not what keeps them apart", len(posts))
	}
}

func TestEntriesAboutOneThingArriveInTheirOrder(t *testing.T) {
	o := newOffice(t)
	for range 20 {
		o.write(5)
	}
	stop := o.run(o.relay)
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

func TestAnEntryInBackoffHoldsTheLaterOnesOfItsTicketUntilItHasFailedOften(t *testing.T) {
	o := newOffice(t)
	ticket := o.write(1)
	o.service.script(always(http.StatusInternalServerError, "internal"))
	o.once()
	o.service.script(nil)
	o.relay.trials = 0
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
	o.exec("update outbox set attempts = $1 where attempts = 1 and done_at is null", patience)
	if n, _ := o.once(); n != 1 {
		t.Errorf("claimed %d, want the one that waited long enough", n)
	}
}

func TestWhatTheServiceAnswersDecidesTheEntrysFate(t *testing.T) {
	tests := []struct {
		status            int
		code              string
		done, dead, tried int
	}{
		{http.StatusAccepted, "", 1, 0, 1},
		{http.StatusUnprocessableEntity, "validation_failed", 0, 1, 1},
		{http.StatusUnprocessableEntity, "idempotency_mismatch", 1, 0, 1},
		{http.StatusBadRequest, "malformed_json", 0, 1, 1},
		{http.StatusRequestEntityTooLarge, "body_too_large", 0, 1, 1},
		{http.StatusConflict, "conflict", 0, 1, 1},
		{http.StatusConflict, "idempotency_in_flight", 0, 0, 1},
		{http.StatusRequestTimeout, "", 0, 0, 1},
		{http.StatusTooEarly, "", 0, 0, 1},
		{http.StatusTooManyRequests, "rate_limited", 0, 0, 1},
		{http.StatusInternalServerError, "internal", 0, 0, 1},
		{http.StatusServiceUnavailable, "unavailable", 0, 0, 1},
		{http.StatusUnauthorized, "invalid_token", 0, 0, 0},
		{http.StatusForbidden, "forbidden", 0, 0, 0},
		{http.StatusNotFound, "", 0, 0, 0},
	}
	for _, tc := range tests {
		t.Run(strconv.Itoa(tc.status)+" "+tc.code, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.write(1)
			if tc.status != http.StatusAccepted {
				o.service.script(always(tc.status, tc.code))
			}
			_, rest := o.once()
			o.want("done_at is not null", tc.done)
			o.want("dead_at is not null", tc.dead)
			o.want("attempts = 1", tc.tried)
			if retried := tc.done+tc.dead == 0; retried != (rest > 0) {
				t.Errorf("rests %v", rest)
			}
			if tc.done == 0 && !strings.Contains(row[string](o, "select last_error from outbox"), strconv.Itoa(tc.status)) {
				t.Error("last_error doesn't name the answer")
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	o := newOffice(t)
	o.write(1)
	o.service.script(func(_ int, _ post, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "120")
		refuse(w, http.StatusTooManyRequests, "rate_limited")
	})
	if _, rest := o.once(); rest < 120*time.Second {
		t.Errorf("the relay rests %v, asked for 120 s", rest)
	}
	o.want("next_attempt_at > now() + interval '118 seconds'", 1)
}

func TestATimeoutAfterAcceptingPostsTheSameAgain(t *testing.T) {
	o := newOffice(t)
	o.write(1)
	o.relay.client.HTTPClient.Timeout = 50 * time.Millisecond
	release := make(chan struct{})
	o.service.script(func(n int, _ post, w http.ResponseWriter) {
		if n == 1 {
			<-release // stored, but the answer never arrives
		}
		accept(w)
	})
	if _, rest := o.once(); rest == 0 {
		t.Error("no rest after a timeout")
	}
	close(release)
	o.want("attempts = 1 and done_at is null", 1)
	o.due()
	o.once()
	posts := o.service.seen()
	if len(posts) != 2 || posts[0].key != posts[1].key || string(posts[0].body) != string(posts[1].body) {
		t.Errorf("%d posts, or they differ", len(posts))
	}
	o.want("done_at is not null", 1)
}

func TestAConfigurationTroubleIsLoggedOnceAndCostsNoAttempt(t *testing.T) {
	o := newOffice(t)
	o.write(3)
	o.service.script(always(http.StatusUnauthorized, "invalid_token"))
	for range 5 {
		o.once()
	}
	if n := strings.Count(o.log.String(), "takes no posts"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	o.want("attempts = 0 and lease_token is null", 3)
	o.service.script(nil)
	o.once()
	o.once()
	if n := strings.Count(o.log.String(), "takes posts again"); n != 1 {
		t.Errorf("the recovery was logged %d times", n)
	}
	o.want("done_at is not null", 3)
}

func TestAServiceThatIsDownCostsOneProbeAtATimeAndIsDrainedAfterwards(t *testing.T) {
	o := newOffice(t)
	const entries = 400
	for range entries {
		o.write(1)
	}
	o.service.script(always(http.StatusServiceUnavailable, "unavailable"))
	if _, rest := o.once(); rest == 0 {
		t.Error("no rest after the first batch")
	}
	if n := len(o.service.seen()); n > concurrency {
		t.Errorf("the first batch made %d posts, want at most %d", n, concurrency)
	}
	o.service.script(always(http.StatusServiceUnavailable, "unavailable"))
	for i := range 10 {
		n, rest := o.once()
		if n != 1 || rest == 0 || rest > 5*time.Second {
			t.Errorf("probe %d claimed %d and rests %v", i, n, rest)
		}
	}
	if n := len(o.service.seen()); n != 10 {
		t.Errorf("10 probes made %d posts", n)
	}
	o.service.script(always(http.StatusServiceUnavailable, "unavailable"))
	for range 10 {
		o.relay.trials = 0 // the control: a relay that forgets the trouble
		o.once()
	}
	if n := len(o.service.seen()); n < 20 {
		t.Errorf("without the pause 10 batches made only %d posts", n)
	}
	o.service.script(nil)
	o.relay.interval = 100 * time.Millisecond
	o.run(o.relay)
	o.eventually("drained", func() bool { return o.count("done_at is null") == 0 })
}

func TestAConnectionRefusedCostsNoAttemptAndKeepsTheOrder(t *testing.T) {
	o := newOffice(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := "http://" + listener.Addr().String()
	_ = listener.Close()
	up := o.relay
	o.relay = o.newRelay(gone)
	first := o.write(1)
	o.write(50)
	before := row[string](o, "select string_agg(id::text || next_attempt_at::text, ',' order by id) from outbox")
	for range 5 {
		o.once()
	}
	o.want("attempts = 0 and lease_token is null", 51)
	if n := o.count("last_error is not null"); n < 1 || n > concurrency {
		t.Errorf("%d entries were tried", n)
	}
	if after := row[string](o, "select string_agg(id::text || next_attempt_at::text, ',' order by id) from outbox"); after != before {
		t.Error("entries lost their place")
	}
	o.relay = up
	o.once()
	if posts := o.service.seen(); *posts[0].request.Reference != first.String() && *posts[1].request.Reference != first.String() {
		t.Error("the oldest entry was not among the first")
	}
	o.want("done_at is not null and last_error is null", 51)
}

func TestAnUnknownKindWaitsForANewerVersionAndUnreadableFactsAreDead(t *testing.T) {
	o := newOffice(t)
	o.write(2)
	o.exec("update outbox set kind = 'survey' where id = (select min(id::text)::uuid from outbox)")
	o.exec(`update outbox set reference = gen_random_uuid(), data = '{"to": 1}' where kind <> 'survey'`)
	o.once()
	o.want("kind = 'survey' and dead_at is null and attempts = 1 and last_error like '%unknown kind%'", 1)
	o.want("kind <> 'survey' and dead_at is not null", 1)
	if o.relay.trials != 0 || len(o.service.seen()) != 0 {
		t.Error("the service was blamed, or asked")
	}
}

func TestAnEntryIsPostedWithinMillisecondsOfTheWake(t *testing.T) {
	o := newOffice(t)
	arrived := make(chan time.Time, 1)
	o.service.script(func(_ int, _ post, w http.ResponseWriter) { arrived <- time.Now(); accept(w) })
	o.relay.interval = time.Hour // so that nothing but the wake can be the cause
	o.run(o.relay)
	var took []time.Duration
	for range 50 {
		o.write(1)
		woken := time.Now()
		o.relay.Wake()
		took = append(took, (<-arrived).Sub(woken))
		o.eventually("settled", func() bool { return o.count("done_at is null") == 0 })
	}
	slices.Sort(took)
	t.Logf("wake to arrival: median %v, slowest %v", took[25], took[49])
	if took[25] > 100*time.Millisecond {
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

func TestStoppingLetsThePostsOnTheirWayEndAndGivesTheRestBack(t *testing.T) {
	o := newOffice(t)
	for range 3 * concurrency {
		o.write(1)
	}
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	o.service.script(func(_ int, _ post, w http.ResponseWriter) { arrived <- struct{}{}; <-release; accept(w) })
	stop := o.run(o.relay)
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
	o := newOffice(t)
	o.write(2)
	reset := notice.PasswordReset{To: notice.Person{Name: "Ada", Email: "canary@example.com"}, Token: "canary-reset", ValidMinutes: 10}
	if err := Add(t.Context(), o.q, noon, uuid.New(), reset); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []func(int, post, http.ResponseWriter){
		always(http.StatusUnauthorized, "invalid_token"), always(http.StatusInternalServerError, "internal"), nil,
	} {
		o.service.script(answer)
		o.due()
		o.once()
		o.relay.trials = 0
	}
	if s := o.log.String(); strings.Contains(s, "canary") || strings.Contains(s, "Printer on fire") {
		t.Errorf("the log tells too much:\n%s", s)
	}
	o.due()
	o.once()
	o.want("done_at is null", 0)
	o.want("kind = 'password_reset' and data = '{}'", 1)
	o.want("data::text like '%canary-reset%'", 0)
}

func TestOldDoneEntriesArePurgedAndTheRestIsMeasured(t *testing.T) {
	o := newOffice(t)
	o.write(5)
	o.once()
	o.exec("update outbox set done_at = now() - interval '8 days' where id in (select id from outbox limit 3)")
	o.write(2)
	o.exec("update outbox set created_at = now() - interval '1 minute' where done_at is null")
	dead := o.write(1)
	o.exec("update outbox set dead_at = now() - interval '30 days' where reference = $1", dead)
	if err := o.relay.purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := o.relay.measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.want("true", 5)
	if p, d, a := gauge(t, o.relay.metrics.pending), gauge(t, o.relay.metrics.dead), gauge(t, o.relay.metrics.oldest); p != 2 || d != 1 || a < 59 || a > 120 {
		t.Errorf("pending %v, dead %v, oldest %v s", p, d, a)
	}
}

func TestBackoffDoublesFromOneSecondToFiveMinutesWithFullJitter(t *testing.T) {
	for attempt, ceiling := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 100000: 5 * time.Minute,
	} {
		var longest time.Duration
		for range 2000 {
			d := backoff(attempt, 0)
			if d < 0 || d > ceiling {
				t.Fatalf("attempt %d waits %v, want at most %v", attempt, d, ceiling)
			}
			longest = max(longest, d)
		}
		if longest < ceiling*9/10 {
			t.Errorf("attempt %d never waits longer than %v of %v", attempt, longest, ceiling)
		}
	}
	if d := backoff(1, 100*24*time.Hour); d != maxRetryAfter {
		t.Errorf("an absurd Retry-After gives %v", d)
	}
	for trial := range 100 {
		if d := pause(trial, 5*time.Second, 0); d <= 0 || d > 5*time.Second {
			t.Errorf("pause %d is %v", trial, d)
		}
	}
}

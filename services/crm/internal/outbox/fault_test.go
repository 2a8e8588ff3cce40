package outbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/launch"
	"fixdesk/services/crm/internal/crmdb"
)

func TestCrashBetweenAnswerAndMarkPostsTheSameRequestAgain(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	before := o.service.seen()
	entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{
		Token: uuid.New(), LeaseSeconds: lease.Seconds(), Patience: blockingAttempts, Batch: batchSize,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.dispatcher.readSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.dispatcher.postAll(t.Context(), entries) // accepted, and never settled
	if n, _ := o.once(); n != 0 {
		t.Fatalf("claimed %d under a running lease", n)
	}
	o.due()
	successor := o.newDispatcher(o.service.URL)
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
	o := newTestEnv(t)
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

func TestExpiredLeaseIsTakenOverAndALateSettlementChangesNothing(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	late := uuid.New()
	entries, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: late, LeaseSeconds: 0, Patience: blockingAttempts, Batch: 1})
	if err != nil || len(entries) != 1 {
		t.Fatalf("claimed %d, %v", len(entries), err)
	}
	again, err := o.q.OutboxClaim(t.Context(), crmdb.OutboxClaimParams{Token: uuid.New(), LeaseSeconds: 60, Patience: blockingAttempts, Batch: 1})
	if err != nil || len(again) != 1 {
		t.Fatalf("took over %d, %v", len(again), err)
	}
	before := row[string](o, "select outbox::text from outbox")
	for _, v := range []outcome{outcomePosted, outcomeRefused, outcomeFailed, outcomeNotReached, outcomeNotTried} {
		b := &batch{results: []result{{entry: entries[0], classification: classification{outcome: v}, err: net.ErrClosed}}}
		if err := o.dispatcher.settle(t.Context(), late, b); err != nil {
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

func TestAnswerDecidesWhetherAnEntryIsDoneDeadOrRetried(t *testing.T) {
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
			o := newTestEnv(t)
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
	o := newTestEnv(t)
	o.write(1)
	o.service.script(func(_ int, _ post, w http.ResponseWriter) {
		w.Header().Set("Retry-After", "120")
		refuse(w, http.StatusTooManyRequests, "rate_limited")
	})
	if _, rest := o.once(); rest < 120*time.Second {
		t.Errorf("the dispatcher pauses %v, asked for 120 s", rest)
	}
	o.want("next_attempt_at > now() + interval '118 seconds'", 1)
}

// timeoutAfter ends a request as a timeout does, when the channel is closed.
type timeoutAfter struct {
	http.RoundTripper
	closed <-chan struct{}
}

func (t timeoutAfter) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-t.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	if _, err := t.RoundTripper.RoundTrip(r.WithContext(ctx)); err == nil {
		return nil, errors.New("answered before the timeout")
	}
	return nil, context.DeadlineExceeded
}

func TestTimeoutAfterAcceptanceRepeatsTheSameRequest(t *testing.T) {
	o := newTestEnv(t)
	o.write(1)
	client := o.dispatcher.client.HTTPClient
	patient, stored, release := client.Transport, make(chan struct{}), make(chan struct{})
	client.Transport = timeoutAfter{patient, stored}
	o.service.script(func(n int, _ post, w http.ResponseWriter) {
		if n == 1 {
			close(stored)
			<-release // the answer never arrives
		}
		accept(w)
	})
	if _, rest := o.once(); rest == 0 {
		t.Error("no rest after a timeout")
	}
	close(release)
	client.Transport = patient
	o.want("attempts = 1 and done_at is null", 1)
	o.due()
	o.once()
	posts := o.service.seen()
	if len(posts) != 2 || posts[0].key != posts[1].key || string(posts[0].body) != string(posts[1].body) {
		t.Errorf("%d posts, or they differ", len(posts))
	}
	o.want("done_at is not null", 1)
}

func TestFailingServiceIsLoggedOnceAndCostsNoAttempt(t *testing.T) {
	o := newTestEnv(t)
	o.write(3)
	o.service.script(always(http.StatusUnauthorized, "invalid_token"))
	o.dispatcher.loop.Interval = 20 * time.Millisecond
	o.run(o.dispatcher)
	o.eventually("posts were refused", func() bool { return len(o.service.seen()) >= 5 })
	if n := strings.Count(o.log.String(), "background job fails"); n != 1 || !strings.Contains(o.log.String(), "refuses the configuration") {
		t.Errorf("logged %d times:\n%s", n, o.log)
	}
	o.want("attempts = 0", 3)
	o.service.script(nil)
	o.eventually("all are posted", func() bool { return o.count("done_at is not null") == 3 })
	o.eventually("the recovery is logged", func() bool { return strings.Contains(o.log.String(), "background job works again") })
	if n := strings.Count(o.log.String(), "background job"); n != 2 {
		t.Errorf("%d lines:\n%s", n, o.log)
	}
}

func TestUnreachableServiceIsProbedWithOneEntryAndDrainedAfterwards(t *testing.T) {
	o := newTestEnv(t)
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
		o.dispatcher.failures = 0 // the control: a dispatcher without the count of failures
		o.once()
	}
	if n := len(o.service.seen()); n < 20 {
		t.Errorf("without the pause 10 batches made only %d posts", n)
	}
	o.service.script(nil)
	o.dispatcher.loop.Interval = 100 * time.Millisecond
	o.run(o.dispatcher)
	o.eventually("drained", func() bool { return o.count("done_at is null") == 0 })
}

func TestRefusedConnectionCostsNoAttemptAndKeepsTheOrder(t *testing.T) {
	o := newTestEnv(t)
	gone, err := launch.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	up := o.dispatcher
	o.dispatcher = o.newDispatcher("http://" + gone)
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
	o.dispatcher = up
	both := make(chan struct{}) // neither of two references is answered before the other was posted
	o.service.script(func(n int, _ post, w http.ResponseWriter) {
		if n == 2 {
			close(both)
		}
		<-both
		accept(w)
	})
	o.once()
	if posts := o.service.seen(); *posts[0].request.Reference != first.String() && *posts[1].request.Reference != first.String() {
		t.Error("the oldest entry was not among the first")
	}
	o.want("done_at is not null and last_error is null", 51)
}

func TestUnknownKindWaitsForANewerVersionAndUnreadableFactsAreDead(t *testing.T) {
	o := newTestEnv(t)
	o.write(2)
	o.exec("update outbox set kind = 'survey' where id = (select min(id::text)::uuid from outbox)")
	o.exec(`update outbox set reference = gen_random_uuid(), data = '{"to": 1}' where kind <> 'survey'`)
	o.once()
	o.want("kind = 'survey' and dead_at is null and attempts = 1 and last_error like '%unknown kind%'", 1)
	o.want("kind <> 'survey' and dead_at is not null", 1)
	if o.dispatcher.failures != 0 || len(o.service.seen()) != 0 {
		t.Error("the service was blamed, or asked")
	}
}

func TestBackoffDoublesFromOneSecondToFiveMinutesWithFullJitter(t *testing.T) {
	for attempt, ceiling := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 100000: 5 * time.Minute,
	} {
		var longest time.Duration
		for range 2000 {
			d := backoff(attempt, false, 0)
			if d < 0 || d > ceiling {
				t.Fatalf("attempt %d waits %v, want at most %v", attempt, d, ceiling)
			}
			longest = max(longest, d)
		}
		if longest < ceiling*9/10 {
			t.Errorf("attempt %d never waits longer than %v of %v", attempt, longest, ceiling)
		}
	}
	for range 2000 {
		if d := backoff(100, true, 0); d > serviceCap {
			t.Fatalf("an entry waits %v after the service failed", d)
		}
	}
	if d := backoff(1, false, 100*24*time.Hour); d != maxRetryAfter {
		t.Errorf("an absurd Retry-After gives %v", d)
	}
	for trial := range 100 {
		if d := servicePause(trial, 5*time.Second, 0); d <= 0 || d > 5*time.Second {
			t.Errorf("pause %d is %v", trial, d)
		}
	}
}

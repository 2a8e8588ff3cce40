package ticket

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmtest"
)

// concurrently runs n functions that start together and returns their results.
func concurrently[T any](n int, fn func(i int) T) []T {
	results, start := make([]T, n), make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { <-start; results[i] = fn(i) })
	}
	close(start)
	all.Wait()
	return results
}

// tally counts answers by status and code.
func tally(answers []crmtest.Response) map[string]int {
	counts := map[string]int{}
	for _, a := range answers {
		key := fmt.Sprint(a.Code)
		if a.Code >= 300 {
			key += " " + crmtest.Parse[crmtest.Problem](a).Code
		}
		counts[key]++
	}
	return counts
}

func TestSameKeyAndBodyGetTheSameAnswerByteForByte(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	body := crmtest.Object{"title": "Printer", "description": "It smokes", "priority": "high"}
	first := d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k1").Want(201)
	ticket := crmtest.Parse[crmtest.Ticket](first)
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Exec(`update users set name = 'Renamed'`)
	d.Advance(23 * time.Hour)
	again := d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k1").Want(201)
	if string(again.Body) != string(first.Body) {
		t.Errorf("first  %s\nagain %s", first.Body, again.Body)
	}
	if a, b := first.Header.Get("Idempotency-Replayed"), again.Header.Get("Idempotency-Replayed"); a != "" || b != "true" {
		t.Errorf("Idempotency-Replayed: %q, then %q", a, b)
	}
	for _, name := range []string{"Location", "ETag", "Content-Type"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("%s: %q, then %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	comment := d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Hello"}, "Idempotency-Key", "k2").Want(201)
	d.Exec(`update users set name = 'Renamed again'`)
	if again := d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Hello"}, "Idempotency-Key", "k2").Want(201); string(again.Body) != string(comment.Body) ||
		comment.Header.Get("Idempotency-Replayed") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("first  %v %s\nagain %v %s", comment.Header, comment.Body, again.Header, again.Body)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`); n != 1 {
		t.Errorf("%d tickets", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_comments`); n != 1 {
		t.Errorf("%d comments", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from outbox where kind = 'ticket_received'`); n != 1 {
		t.Errorf("%d receipts", n)
	}
}

func TestKeyIsRefusedForAnotherRequest(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, other := d.User("customer"), d.User("customer")
	body := crmtest.Object{"title": "Printer", "description": "It smokes"}
	key := []string{"Idempotency-Key", "k"}
	ticket := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", body, key...).Want(201))
	for what, edit := range map[string]crmtest.Object{
		"another title":    {"title": "Printer!", "description": "It smokes"},
		"another priority": {"title": "Printer", "description": "It smokes", "priority": "low"},
	} {
		p := d.Call(customer, "POST", "/v1/tickets", edit, key...).Refused(422, "idempotency_mismatch")
		if strings.Contains(p.Detail, "Printer") {
			t.Errorf("%s: %q", what, p.Detail)
		}
	}
	d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "Printer", "description": "It smokes", "priority": "normal"}, key...).Want(201)
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x"}, key...).Refused(422, "idempotency_mismatch")
	if theirs := crmtest.Parse[crmtest.Ticket](d.Call(other, "POST", "/v1/tickets", body, key...).Want(201)); theirs.ID == ticket.ID {
		t.Error("the key of another user returned the ticket")
	}

	second := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", body).Want(201))
	comment := []string{"Idempotency-Key", "c"}
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x"}, comment...).Want(201)
	d.Call(customer, "POST", second.Path("/comments"), crmtest.Object{"body": "x"}, comment...).Refused(422, "idempotency_mismatch")
	d.Call(customer, "POST", "/v1/tickets", body, comment...).Refused(422, "idempotency_mismatch")
	d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", strings.Repeat("k", 256)).Refused(422, "validation_failed")
	d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", strings.Repeat("k", 255)).Want(201)
}

func TestRefusedRequestDoesNotUseItsKey(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	key := []string{"Idempotency-Key", "k"}
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x", "internal": true}, key...).Refused(403, "forbidden")
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x"}, key...).Want(201)
}

func TestKeyExpiresAfterADay(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	body := crmtest.Object{"title": "Printer", "description": "It smokes"}
	first := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201))
	d.Call(customer, "POST", first.Path("/comments"), crmtest.Object{"body": "x"}, "Idempotency-Key", "c").Want(201)
	d.Advance(24*time.Hour + time.Second)
	if second := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201)); second.ID == first.ID {
		t.Error("an expired key gave the old answer")
	}
	d.Call(customer, "POST", first.Path("/comments"), crmtest.Object{"body": "y"}, "Idempotency-Key", "c").Want(201)
	if n, err := d.service.PurgeKeys(context.Background(), 100); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	d.Advance(25 * time.Hour)
	if n, err := d.service.PurgeKeys(context.Background(), 100); n != 2 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}

func TestFiftyConcurrentCreationsWithOneKeyCreateOneTicket(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	d.Engineer()
	d.Engineer()
	send := func(int) crmtest.Response {
		return d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "Printer", "description": "It smokes"}, "Idempotency-Key", "k")
	}
	wantOneAnswer(t, concurrently(50, send))
	ids := crmtest.List[string](d.Env, `select id::text from tickets`)
	if len(ids) != 1 {
		t.Fatalf("%d tickets", len(ids))
	}
	wantOneAnswer(t, concurrently(50, func(int) crmtest.Response {
		return d.Call(customer, "POST", "/v1/tickets/"+ids[0]+"/comments", crmtest.Object{"body": "Hello"}, "Idempotency-Key", "c")
	}))
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_comments`); n != 1 {
		t.Errorf("%d comments", n)
	}
	if n := crmtest.Get[int](d.Env, crmtest.WrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

// wantOneAnswer wants the same 201 each time, or in_flight.
func wantOneAnswer(t *testing.T, answers []crmtest.Response) {
	t.Helper()
	bodies := map[string]int{}
	for _, a := range answers {
		switch {
		case a.Code == http.StatusCreated:
			bodies[string(a.Body)]++
		case a.Code != http.StatusConflict || crmtest.Parse[crmtest.Problem](a).Code != "idempotency_in_flight":
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers: %v", len(bodies), bodies)
	}
	t.Logf("answers: %v", tally(answers))
}

func TestConcurrentRequestWithTheSameKeyWaitsForTheLockTimeoutAtMost(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLockTimeout(t, time.Second)
	customer := d.User("customer")
	tx, err := d.Pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // the end of the first use
	if _, err := tx.Exec(context.Background(), `insert into idempotency_keys values ($1, 'k', $2, $1, '{}', $3)`, customer.ID, make([]byte, 32), d.Now()); err != nil {
		t.Fatal(err)
	}
	d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "Printer", "description": "It smokes"}, "Idempotency-Key", "k").
		Refused(409, "idempotency_in_flight")
}

func TestTimeoutOfAnotherLockIsUnavailable(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLockTimeout(t, time.Second)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Engineer()
	tx, err := d.Pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // the end of the other transaction
	if _, err := tx.Exec(context.Background(), `select from engineers for no key update`); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), `select from tickets for no key update`); err != nil {
		t.Fatal(err)
	}
	quiet := &crmtest.Env{TB: &tolerant{TB: t}, Pool: d.Pool, Handler: d.Handler, Log: d.Log}
	for path, body := range map[string]crmtest.Object{
		"/v1/tickets":            {"title": "Printer", "description": "It smokes"},
		ticket.Path("/comments"): {"body": "Hello"},
	} {
		quiet.Call(customer, "POST", path, body, "Idempotency-Key", "k").Refused(503, "unavailable")
	}
}

// tolerant accepts answers of 5xx.
type tolerant struct{ testing.TB }

func (t *tolerant) Errorf(string, ...any) {}

func TestReplayUsesNoTicketNumber(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	body := crmtest.Object{"title": "Printer", "description": "It smokes"}
	first := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201))
	for range 5 {
		d.Call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").Want(201)
	}
	if next := d.Raise(customer, "Scanner", "It hums"); next.Number != first.Number+1 {
		t.Errorf("number %d follows %d", next.Number, first.Number)
	}
}

func TestEmptyKeyIsRefused(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for path, body := range map[string]crmtest.Object{
		"/v1/tickets":            {"title": "Printer", "description": "It smokes"},
		ticket.Path("/comments"): {"body": "Hello"},
	} {
		p := d.Call(customer, "POST", path, body, "Idempotency-Key", "").Refused(422, "validation_failed")
		if len(p.Errors) != 1 || p.Errors[0].Location != "header.Idempotency-Key" {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

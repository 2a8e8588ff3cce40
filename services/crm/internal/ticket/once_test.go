package ticket

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// together runs n functions that start at once and returns what they answered.
func together[T any](n int, fn func(i int) T) []T {
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
func tally(answers []reply) map[string]int {
	counts := map[string]int{}
	for _, a := range answers {
		key := fmt.Sprint(a.Code)
		if a.Code >= 300 {
			key += " " + parse[problem](a).Code
		}
		counts[key]++
	}
	return counts
}

func TestTheSameKeyAndBodyGetTheSameAnswerByteForByte(t *testing.T) {
	d := newDesk(t)
	customer, engineer := d.user("customer"), d.engineer()
	body := object{"title": "Printer", "description": "It smokes", "priority": "high"}
	first := d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k1").want(201)
	ticket := parse[ticketBody](first)
	d.call(engineer, "POST", ticket.path("/accept"), nil).want(200)
	d.exec(`update users set name = 'Renamed'`)
	d.later(23 * time.Hour)
	again := d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k1").want(201)
	if string(again.Body) != string(first.Body) {
		t.Errorf("first  %s\nagain %s", first.Body, again.Body)
	}
	for _, name := range []string{"Location", "ETag", "Content-Type"} {
		if first.Header.Get(name) != again.Header.Get(name) {
			t.Errorf("%s: %q, then %q", name, first.Header.Get(name), again.Header.Get(name))
		}
	}
	comment := d.call(customer, "POST", ticket.path("/comments"), object{"body": "Hello"}, "Idempotency-Key", "k2").want(201)
	d.exec(`update users set name = 'Renamed again'`)
	if again := d.call(customer, "POST", ticket.path("/comments"), object{"body": "Hello"}, "Idempotency-Key", "k2").want(201); string(again.Body) != string(comment.Body) {
		t.Errorf("first  %s\nagain %s", comment.Body, again.Body)
	}
	if n := get[int](d, `select count(*) from tickets`); n != 1 {
		t.Errorf("%d tickets", n)
	}
	if n := get[int](d, `select count(*) from ticket_comments`); n != 1 {
		t.Errorf("%d comments", n)
	}
	if n := get[int](d, `select count(*) from outbox where kind = 'ticket_received'`); n != 1 {
		t.Errorf("%d receipts", n)
	}
}

func TestAKeyIsRefusedForAnotherRequest(t *testing.T) {
	d := newDesk(t)
	customer, other := d.user("customer"), d.user("customer")
	body := object{"title": "Printer", "description": "It smokes"}
	key := []string{"Idempotency-Key", "k"}
	ticket := parse[ticketBody](d.call(customer, "POST", "/v1/tickets", body, key...).want(201))
	for what, edit := range map[string]object{
		"another title":    {"title": "Printer!", "description": "It smokes"},
		"another priority": {"title": "Printer", "description": "It smokes", "priority": "low"},
	} {
		p := d.call(customer, "POST", "/v1/tickets", edit, key...).refused(422, "idempotency_mismatch")
		if strings.Contains(p.Detail, "Printer") {
			t.Errorf("%s: %q", what, p.Detail)
		}
	}
	d.call(customer, "POST", "/v1/tickets", object{"title": "Printer", "description": "It smokes", "priority": "normal"}, key...).want(201)
	d.call(customer, "POST", ticket.path("/comments"), object{"body": "x"}, key...).refused(422, "idempotency_mismatch")
	if theirs := parse[ticketBody](d.call(other, "POST", "/v1/tickets", body, key...).want(201)); theirs.ID == ticket.ID {
		t.Error("somebody else's key gave the ticket away")
	}

	second := parse[ticketBody](d.call(customer, "POST", "/v1/tickets", body).want(201))
	comment := []string{"Idempotency-Key", "c"}
	d.call(customer, "POST", ticket.path("/comments"), object{"body": "x"}, comment...).want(201)
	d.call(customer, "POST", second.path("/comments"), object{"body": "x"}, comment...).refused(422, "idempotency_mismatch")
	d.call(customer, "POST", "/v1/tickets", body, comment...).refused(422, "idempotency_mismatch")
	d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", strings.Repeat("k", 256)).refused(422, "validation_failed")
	d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", strings.Repeat("k", 255)).want(201)
}

func TestARefusedRequestLeavesItsKeyFree(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	ticket := d.raise(customer, "Printer", "It smokes")
	key := []string{"Idempotency-Key", "k"}
	d.call(customer, "POST", ticket.path("/comments"), object{"body": "x", "internal": true}, key...).refused(403, "forbidden")
	d.call(customer, "POST", ticket.path("/comments"), object{"body": "x"}, key...).want(201)
}

func TestAKeyIsFreeAgainAfterADay(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	body := object{"title": "Printer", "description": "It smokes"}
	first := parse[ticketBody](d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").want(201))
	d.call(customer, "POST", first.path("/comments"), object{"body": "x"}, "Idempotency-Key", "c").want(201)
	d.later(24*time.Hour + time.Second)
	if second := parse[ticketBody](d.call(customer, "POST", "/v1/tickets", body, "Idempotency-Key", "k").want(201)); second.ID == first.ID {
		t.Error("an expired key gave the old answer")
	}
	d.call(customer, "POST", first.path("/comments"), object{"body": "y"}, "Idempotency-Key", "c").want(201)
	if n, err := d.service.PurgeKeys(context.Background()); n != 0 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	d.later(25 * time.Hour)
	if n, err := d.service.PurgeKeys(context.Background()); n != 2 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
}

func TestFiftyAtOnceWithOneKeyRaiseOneTicket(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	d.engineer()
	d.engineer()
	send := func(int) reply {
		return d.call(customer, "POST", "/v1/tickets", object{"title": "Printer", "description": "It smokes"}, "Idempotency-Key", "k")
	}
	wantOneAnswer(t, together(50, send))
	ids := list[string](d, `select id::text from tickets`)
	if len(ids) != 1 {
		t.Fatalf("%d tickets", len(ids))
	}
	wantOneAnswer(t, together(50, func(int) reply {
		return d.call(customer, "POST", "/v1/tickets/"+ids[0]+"/comments", object{"body": "Hello"}, "Idempotency-Key", "c")
	}))
	if n := get[int](d, `select count(*) from ticket_comments`); n != 1 {
		t.Errorf("%d comments", n)
	}
	if n := get[int](d, wrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

// wantOneAnswer wants the same 201 each time, or in_flight.
func wantOneAnswer(t *testing.T, answers []reply) {
	t.Helper()
	bodies := map[string]int{}
	for _, a := range answers {
		switch {
		case a.Code == http.StatusCreated:
			bodies[string(a.Body)]++
		case a.Code != http.StatusConflict || parse[problem](a).Code != "idempotency_in_flight":
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d different answers: %v", len(bodies), bodies)
	}
	t.Logf("answers: %v", tally(answers))
}

func TestATwinWaitsNoLongerThanTheLockTimeoutAndIsToldSo(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	tx, err := d.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // the end of the first use
	if _, err := tx.Exec(context.Background(), `insert into idempotency_keys values ($1, 'k', $2, $1, '{}', $3)`, customer.ID, make([]byte, 32), d.now()); err != nil {
		t.Fatal(err)
	}
	d.call(customer, "POST", "/v1/tickets", object{"title": "Printer", "description": "It smokes"}, "Idempotency-Key", "k").
		refused(409, "idempotency_in_flight")
}

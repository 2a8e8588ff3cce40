package ticket

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

func behalf(email, name string) crmtest.Object {
	return crmtest.Object{"title": "Printer", "description": "It smokes", "reporter_email": email, "reporter_name": name}
}

func TestStaffCreateTicketsOnBehalfOfACustomer(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, admin, engineer := d.User("customer"), d.User("admin"), d.Engineer()
	known := crmtest.Parse[crmtest.Ticket](d.Call(admin, "POST", "/v1/tickets", behalf(strings.ToUpper(customer.Email), "Ignored")).Want(201))
	if known.Reporter.ID != customer.ID || known.Reporter.Name != customer.Name || known.Reporter.Email != customer.Email || !known.AssignedTo(engineer) {
		t.Errorf("raised as %+v", known)
	}
	d.WantNotices("raising for a customer", "ticket_received > "+customer.Email, "ticket_assigned > "+engineer.Email)
	if seen := d.Read(customer, known); seen.ID != known.ID {
		t.Error("the customer doesn't see it")
	}
	d.wantLastEvents(customer, known, "created by "+admin.Name+" title(>Printer) priority(>normal)", "assigned by - assignee(>"+engineer.Name+")")

	key := []string{"Idempotency-Key", "k"}
	first := d.Call(engineer, "POST", "/v1/tickets", behalf("new@example.com", "Nora New"), key...).Want(201)
	unknown := crmtest.Parse[crmtest.Ticket](first)
	if unknown.Reporter.Name != "Nora New" || unknown.Reporter.Email != "new@example.com" {
		t.Errorf("raised as %+v", unknown)
	}
	if again := d.Call(engineer, "POST", "/v1/tickets", behalf("new@example.com", "Nora New"), key...).Want(201); string(again.Body) != string(first.Body) {
		t.Errorf("first %s\nagain %s", first.Body, again.Body)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from users where email = 'new@example.com' and role = 'customer'`); n != 1 {
		t.Errorf("%d new customers", n)
	}
	d.Call(customer, "POST", "/v1/tickets", behalf("other@example.com", "Other")).Refused(403, "forbidden")
	d.Call(admin, "POST", "/v1/tickets", behalf("no address", "Other")).Refused(422, "validation_failed")
	d.Call(admin, "POST", "/v1/tickets", crmtest.Object{"title": "x", "description": "x", "reporter_name": "Other"}).Refused(422, "validation_failed")
	d.Exec(`update users set status = 'suspended' where id = $1`, customer.ID)
	d.Call(admin, "POST", "/v1/tickets", behalf(customer.Email, "")).Want(422)
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets`); n != 2 {
		t.Errorf("%d tickets", n)
	}
}

func TestOnlyStaffSeeTheReportersAddress(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	if strings.Contains(string(d.Call(customer, "GET", ticket.Path(""), nil).Want(200).Body), "email") {
		t.Error("a customer's answer has an address")
	}
	if got := d.Read(engineer, ticket); got.Reporter.Email != customer.Email {
		t.Errorf("an engineer reads %q", got.Reporter.Email)
	}
	d.Exec(`update users set erased_at = now(), email = 'erased@erased.invalid' where id = $1`, customer.ID)
	if got := d.Read(engineer, ticket); got.Reporter.Email != "" {
		t.Errorf("an erased reporter has the address %q", got.Reporter.Email)
	}
}

func TestEveryRouteTakesATicketNumber(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, otherCustomer, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	path := fmt.Sprintf("/v1/tickets/%d", ticket.Number)
	if got := crmtest.Parse[crmtest.Ticket](d.Call(customer, "GET", path, nil).Want(200)); got.ID != ticket.ID {
		t.Errorf("got %+v", got)
	}
	d.Call(customer, "PATCH", path, crmtest.Object{"title": "Printer 2"}).Want(200)
	d.Call(engineer, "POST", path+"/decline", crmtest.Object{"reason": "No"}).Want(200)
	d.Call(admin, "POST", path+"/assign", crmtest.Object{"engineer_id": engineer.ID}).Want(200)
	d.Call(engineer, "POST", path+"/accept", nil).Want(200)
	c := crmtest.Parse[commentBody](d.Call(customer, "POST", path+"/comments", crmtest.Object{"body": "x"}, "Idempotency-Key", "k").Want(201))
	if again := crmtest.Parse[commentBody](d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x"}, "Idempotency-Key", "k").Want(201)); again.ID != c.ID {
		t.Error("by its id, the same request took effect again")
	}
	d.Call(customer, "GET", path+"/comments", nil).Want(200)
	d.Call(customer, "GET", path+"/events?limit=1", nil).Want(200)
	d.Call(admin, "DELETE", path+"/comments/"+c.ID.String(), nil).Want(204)

	missing := d.Call(otherCustomer, "GET", "/v1/tickets/999999", nil, "X-Request-ID", "same").Refused(404, "not_found")
	if foreign := d.Call(otherCustomer, "GET", path, nil, "X-Request-ID", "same").Refused(404, "not_found"); foreign.Detail != missing.Detail {
		t.Errorf("a foreign number is answered %q, a missing one %q", foreign.Detail, missing.Detail)
	}
	for _, bad := range []string{"0", "-1", "042", "+1", "99999999999999999999", "one", ticket.ID.String() + "0", strings.ReplaceAll(ticket.ID.String(), "-", "")} {
		d.Call(customer, "GET", "/v1/tickets/"+bad, nil).Refused(422, "validation_failed")
	}
}

func TestEngineersAreListedForStaffWithTheirLoad(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	d.Raise(customer, "Printer", "It smokes")
	type engineer struct {
		ID            string
		Name          string
		Available     bool
		ActiveTickets int `json:"active_tickets"`
	}
	d.Call(customer, "GET", "/v1/engineers", nil).Refused(403, "forbidden")
	first := crmtest.Parse[crmtest.Page[engineer]](d.Call(a, "GET", "/v1/engineers?limit=1", nil).Want(200))
	second := crmtest.Parse[crmtest.Page[engineer]](d.Call(a, "GET", "/v1/engineers?limit=1&cursor="+first.NextCursor, nil).Want(200))
	if len(first.Items) != 1 || len(second.Items) != 1 || second.NextCursor != "" {
		t.Fatalf("%+v, %+v", first, second)
	}
	got := append(first.Items, second.Items...)
	if got[0].Name != a.Name || got[1].Name != b.Name || got[0].ActiveTickets+got[1].ActiveTickets != 1 || !got[0].Available {
		t.Errorf("got %+v", got)
	}
}

func TestAssigneeAssignsATicketToANamedEngineer(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	ticket, has, other := d.Pair(customer, a, b)
	d.Notices()
	assign := func(who crmtest.User, to any) crmtest.Response {
		return d.Call(who, "POST", ticket.Path("/assign"), crmtest.Object{"engineer_id": to})
	}
	assign(other, other.ID).Refused(403, "forbidden")
	assign(has, nil).Refused(403, "forbidden")
	assign(customer, has.ID).Refused(403, "forbidden")
	if got := crmtest.Parse[crmtest.Ticket](assign(has, other.ID).Want(200)); !got.AssignedTo(other) {
		t.Errorf("assigned to %+v", got.Assignee)
	}
	d.WantNotices("handing on", "ticket_assigned > "+other.Email)
	assign(has, has.ID).Refused(403, "forbidden")
}

func TestPresentStatusOfATicketIsNoChange(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.accepted(customer, engineer)
	d.Notices()
	before := d.Read(customer, ticket)
	for who, status := range map[crmtest.User]string{customer: "in_progress", engineer: "in_progress"} {
		if got := crmtest.Parse[crmtest.Ticket](d.Patch(who, ticket, crmtest.Object{"status": status}).Want(200)); got.Version != before.Version || !got.UpdatedAt.Equal(before.UpdatedAt) {
			t.Errorf("%s changed it to %+v", who.Role, got)
		}
	}
	d.WantNotices("the same status")
	d.wantLastEvents(customer, ticket, "accepted by "+engineer.Name+" status(open>in_progress)")
	d.Patch(customer, ticket, crmtest.Object{"status": "blocked"}).Refused(409, "invalid_transition")
}

func TestCustomersChangeThePriorityUntilTheTicketIsAccepted(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	if got := crmtest.Parse[crmtest.Ticket](d.Patch(customer, ticket, crmtest.Object{"priority": "urgent"}).Want(200)); got.Priority != "urgent" {
		t.Errorf("priority %s", got.Priority)
	}
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Patch(customer, ticket, crmtest.Object{"priority": "low"}).Refused(403, "forbidden")
}

func TestTextsFollowTheCommonPolicy(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := crmtest.Parse[crmtest.Ticket](d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "  Cafe\u0301 ", "description": "\n one\r\ntwo \n"}).Want(201))
	if ticket.Title != "Caf\u00e9" || ticket.Description != "one\ntwo" {
		t.Errorf("stored as %q and %q", ticket.Title, ticket.Description)
	}
	for _, bad := range []string{"\u200b\u2060", "a\u202eb", "\u00a0 "} {
		for field, path := range map[string]string{"title": "", "description": "", "body": "/comments"} {
			method := map[bool]string{true: "PATCH", false: "POST"}[path == ""]
			p := d.Call(customer, method, ticket.Path(path), crmtest.Object{field: bad}).Refused(422, "validation_failed")
			if len(p.Errors) != 1 || p.Errors[0].Location != "body."+field {
				t.Errorf("%q as %s: %+v", bad, field, p)
			}
		}
	}
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	steps := []struct {
		field, method, path string
		body                crmtest.Object
	}{
		{"blocked_reason", "PATCH", "", crmtest.Object{"status": "blocked", "waiting_for": "other"}},
		{"resolution", "PATCH", "", crmtest.Object{"status": "resolved"}},
		{"reason", "POST", "/decline", crmtest.Object{}},
	}
	for _, text := range []string{"\u200b\u2060", "a\u202eb", "\u00a0 ", "👩\u200d🔧 came"} {
		for _, step := range steps {
			step.body[step.field] = text
			answer := d.Call(engineer, step.method, ticket.Path(step.path), step.body)
			p := crmtest.Parse[crmtest.Problem](answer)
			refused := answer.Code == 422 && len(p.Errors) == 1 && p.Errors[0].Location == "body."+step.field
			if control := strings.HasSuffix(text, "came"); refused == control {
				t.Errorf("%q as %s: %d %+v", text, step.field, answer.Code, p)
			}
		}
	}
}

func TestTicketsAndCommentsOfACustomerAreLimitedPerHour(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	d.service.perHour = 3
	customer, other, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	raise := func(who crmtest.User, headers ...string) crmtest.Response {
		return d.Call(who, "POST", "/v1/tickets", crmtest.Object{"title": "Printer", "description": "It smokes"}, headers...)
	}
	key := []string{"Idempotency-Key", "k"}
	ticket := crmtest.Parse[crmtest.Ticket](raise(customer, key...).Want(201))
	raise(customer, key...).Want(201) // a repeated request does not count
	answers := concurrently(20, func(int) crmtest.Response { return raise(customer) })
	if got := tally(answers); got["201"] != 2 || got["429 rate_limited"] != 18 {
		t.Errorf("of 20 at once after the first: %v", got)
	}
	for _, a := range answers {
		if a.Code == 429 && a.Header.Get("Retry-After") == "" {
			t.Error("a refusal without Retry-After")
		}
	}
	raise(customer, key...).Want(201)
	raise(customer, "Idempotency-Key", "other").Refused(429, "rate_limited")
	raise(other).Want(201)
	for range 5 {
		raise(engineer).Want(201)
	}
	for i := range 4 {
		want := 201
		if i == 3 {
			want = 429
		}
		d.comment(customer, ticket, "Hello").Want(want)
	}
	d.Advance(time.Hour + time.Second)
	raise(customer).Want(201)
	d.comment(customer, ticket, "Hello").Want(201)
}

func TestTimeOfAChangeIsReadAfterTheRowLock(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	ctx := context.Background()
	tx, err := d.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // committed below
	if _, err := tx.Exec(ctx, `select from tickets where id = $1 for no key update`, ticket.ID); err != nil {
		t.Fatal(err)
	}
	steps := []func() crmtest.Response{
		func() crmtest.Response { return d.Patch(customer, ticket, crmtest.Object{"title": "Printer 2"}) },
		func() crmtest.Response { return d.comment(customer, ticket, "Hello") },
		func() crmtest.Response { return d.Call(engineer, "POST", ticket.Path("/accept"), nil) },
	}
	done := make(chan crmtest.Response)
	for _, step := range steps {
		go func() { done <- step() }()
	}
	d.Eventually("all wait for the row", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == len(steps)
	})
	// A client that pages by updated_at has seen all changes up to here.
	seen := d.Raise(customer, "Scanner", "It hums").UpdatedAt
	if _, err := tx.Exec(ctx, `update tickets set updated_at = $2 where id = $1`, ticket.ID, seen); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for range steps {
		if a := <-done; a.Code >= 300 {
			t.Errorf("answered %d: %s", a.Code, a.Body)
		}
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets where id = $1 and updated_at > $2`, ticket.ID, seen); n != 1 {
		t.Error("a client that pages by updated_at misses the changes")
	}
	wantTimesForward(t, d)
	// The control: a time read before the wait is earlier than what the client saw.
	if before := seen.Add(-time.Millisecond); crmtest.Get[int](d.Env, `select count(*) from tickets where $1::timestamptz > $2`, before, seen) != 0 {
		t.Error("the check can't fail")
	}
}

// wantTimesForward wants the times of each ticket's events to increase in the order
// in which they were written, and none to be after the ticket's updated_at.
func wantTimesForward(t *testing.T, d *testEnv) {
	t.Helper()
	if n := crmtest.Get[int](d.Env, backwards); n != 0 {
		t.Errorf("%d events are dated before the one written before them", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from tickets t join ticket_events e on e.ticket_id = t.id where not e.internal and e.created_at > t.updated_at`); n != 0 {
		t.Errorf("%d events are later than their ticket's updated_at", n)
	}
}

// backwards counts events of a ticket that are dated before the one written
// before them. One process makes the ids, under the row lock, in growing order.
const backwards = `select count(*) from (
	select created_at, lag(created_at) over (partition by ticket_id order by id) as previous from ticket_events) e
	where created_at < previous`

func TestTimesNeverRunBackwardsUnderContention(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	concurrently(10, func(worker int) bool {
		for i := range trials.Count(6, 6) {
			if i%2 == 0 {
				d.comment(customer, ticket, "Hello").Want(201)
			} else {
				d.Patch(customer, ticket, crmtest.Object{"title": fmt.Sprint("Printer ", worker, i)}).Want(200)
			}
		}
		return true
	})
	wantTimesForward(t, d)
	// The control: an event dated before the wait for the lock.
	now := d.Now()
	d.comment(customer, ticket, "Hello").Want(201)
	d.Do(func(q *crmdb.Queries) error {
		return addEvent(context.Background(), q, ticket.ID, EventCommented, customer.ID, false, nil, now)
	})
	if crmtest.Get[int](d.Env, backwards) == 0 {
		t.Error("times taken before the lock don't run backwards: the check can't fail")
	}
}

package ticket

import (
	"maps"
	"testing"

	"fixdesk/services/crm/internal/crmtest"
)

func wantTally(t *testing.T, what string, answers []crmtest.Response, want map[string]int) {
	t.Helper()
	if got := tally(answers); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestFiftyConcurrentAcceptsHaveOneWinner(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes") // unassigned
	d.Exec(`update tickets set waiting_since = null`)
	engineers := make([]crmtest.User, 50)
	for i := range engineers {
		engineers[i] = d.Engineer()
	}
	wantTally(t, "accepting", concurrently(50, func(i int) crmtest.Response {
		return d.Call(engineers[i], "POST", ticket.Path("/accept"), nil)
	}), map[string]int{"200": 1, "409 already_accepted": 49})
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_events where kind = 'accepted'`); n != 1 {
		t.Errorf("%d events", n)
	}
	if n := crmtest.Get[int](d.Env, crmtest.WrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestTwoEditsWithTheSameIfMatchHaveOneWinner(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	for range 20 {
		ticket := d.Raise(customer, "Printer", "It smokes")
		wantTally(t, "editing", concurrently(2, func(i int) crmtest.Response {
			return d.Patch([]crmtest.User{customer, admin}[i], ticket, crmtest.Object{"title": []string{"A", "B"}[i]}, "If-Match", `"1"`)
		}), map[string]int{"200": 1, "412 version_mismatch": 1})
		if after := d.Read(customer, ticket); after.Version != 2 {
			t.Errorf("version %d", after.Version)
		}
	}
}

func TestFiftyConcurrentClosesAreOneChange(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, admin, engineer := d.User("customer"), d.User("admin"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	together50 := func(status string) {
		wantTally(t, status, concurrently(50, func(i int) crmtest.Response {
			return d.Patch([]crmtest.User{customer, admin}[i%2], ticket, crmtest.Object{"status": status})
		}), map[string]int{"200": 50})
	}
	together50("closed")
	if n := crmtest.Get[int](d.Env, `select active_tickets from engineers where user_id = $1`, engineer.ID); n != 0 {
		t.Errorf("load %d after closing", n)
	}
	together50("open")
	if n := crmtest.Get[int](d.Env, `select active_tickets from engineers where user_id = $1`, engineer.ID); n != 1 {
		t.Errorf("load %d after reopening", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_events where kind in ('status_changed', 'reopened')`); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestConcurrentDeclineAndAcceptHaveOneWinner(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	for range 20 {
		ticket, has, other := d.Pair(customer, a, b)
		answers := concurrently(2, func(i int) crmtest.Response {
			if i == 0 {
				return d.Call(has, "POST", ticket.Path("/accept"), nil)
			}
			return d.Call(has, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "No"})
		})
		after := d.Read(customer, ticket)
		if answers[1].Code != 200 || !after.AssignedTo(other) || after.Status != "open" {
			t.Errorf("accept %d, decline %d, then %+v", answers[0].Code, answers[1].Code, after)
		}
		d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	}
}

package ticket

import (
	"maps"
	"testing"
)

func wantTally(t *testing.T, what string, answers []reply, want map[string]int) {
	t.Helper()
	if got := tally(answers); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestOfFiftyWhoAcceptAtOnceExactlyOneWins(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	ticket := d.raise(customer, "Printer", "It smokes") // nobody has it
	d.exec(`update tickets set waiting_since = null`)
	engineers := make([]somebody, 50)
	for i := range engineers {
		engineers[i] = d.engineer()
	}
	wantTally(t, "accepting", together(50, func(i int) reply {
		return d.call(engineers[i], "POST", ticket.path("/accept"), nil)
	}), map[string]int{"200": 1, "409 already_accepted": 49})
	if n := get[int](d, `select count(*) from ticket_events where kind = 'accepted'`); n != 1 {
		t.Errorf("%d events", n)
	}
	if n := get[int](d, wrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestOfTwoEditsWithTheSameIfMatchOneWins(t *testing.T) {
	d := newDesk(t)
	customer, admin := d.user("customer"), d.user("admin")
	for range 20 {
		ticket := d.raise(customer, "Printer", "It smokes")
		wantTally(t, "editing", together(2, func(i int) reply {
			return d.patch([]somebody{customer, admin}[i], ticket, object{"title": []string{"A", "B"}[i]}, "If-Match", `"1"`)
		}), map[string]int{"200": 1, "412 version_mismatch": 1})
		if after := d.read(customer, ticket); after.Version != 2 {
			t.Errorf("version %d", after.Version)
		}
	}
}

func TestOfFiftyWhoCloseAtOnceExactlyOneWins(t *testing.T) {
	d := newDesk(t)
	customer, admin, engineer := d.user("customer"), d.user("admin"), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	together50 := func(status string) {
		wantTally(t, status, together(50, func(i int) reply {
			return d.patch([]somebody{customer, admin}[i%2], ticket, object{"status": status})
		}), map[string]int{"200": 1, "409 invalid_transition": 49})
	}
	together50("closed")
	if n := get[int](d, `select active_tickets from engineers where user_id = $1`, engineer.ID); n != 0 {
		t.Errorf("load %d after closing", n)
	}
	together50("open")
	if n := get[int](d, `select active_tickets from engineers where user_id = $1`, engineer.ID); n != 1 {
		t.Errorf("load %d after reopening", n)
	}
	if n := get[int](d, `select count(*) from ticket_events where kind in ('status_changed', 'reopened')`); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestADeclineAndAnAcceptAtOnceLeaveOneOfThem(t *testing.T) {
	d := newDesk(t)
	customer, a, b := d.user("customer"), d.engineer(), d.engineer()
	for range 20 {
		ticket, has, other := d.pair(customer, a, b)
		answers := together(2, func(i int) reply {
			if i == 0 {
				return d.call(has, "POST", ticket.path("/accept"), nil)
			}
			return d.call(has, "POST", ticket.path("/decline"), object{"reason": "No"})
		})
		after := d.read(customer, ticket)
		if answers[1].Code != 200 || !after.of(other) || after.Status != "open" {
			t.Errorf("accept %d, decline %d, then %+v", answers[0].Code, answers[1].Code, after)
		}
		d.patch(customer, ticket, object{"status": "closed"}).want(200)
	}
}

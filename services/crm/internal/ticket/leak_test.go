package ticket

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"fixdesk/services/crm/internal/crmdb"
)

// canary is a word that no customer may ever read.
const canary = "zcanaryz"

// customersDoors are all the ways a customer can ask about a ticket.
func customersDoors(t ticketBody) []string {
	doors := []string{t.path(""), t.path("/comments?limit=100"), t.path("/events?limit=100"), t.path("/notifications"), "/v1/tickets/counts", "/v1/reports/tickets"}
	for _, query := range []string{"", "q=" + canary, "q=zcan", "q=%23" + "1", "q=printer", "q=" + canary + "&sort=relevance", "q=printer&sort=relevance", "assignee=none", "active=true", "reporter=me", "sort=-updated_at"} {
		doors = append(doors, "/v1/tickets?"+query, "/v1/tickets/counts?"+strings.TrimSuffix(strings.TrimSuffix(query, "&sort=relevance"), "sort=-updated_at"))
	}
	return doors
}

func TestNoDoorLetsACustomerReadWhatIsForStaff(t *testing.T) {
	d := newDesk(t)
	reporter, stranger, admin := d.user("customer"), d.user("customer"), d.user("admin")
	a, b := d.engineer(), d.engineer()
	ticket, first, second := d.pair(reporter, a, b)
	d.call(first, "POST", ticket.path("/accept"), nil).want(200)
	d.call(first, "POST", ticket.path("/comments"), object{"body": canary + " internal", "internal": true}).want(201)
	d.call(first, "POST", ticket.path("/decline"), object{"reason": canary + " reason"}).want(200)
	d.call(second, "POST", ticket.path("/accept"), nil).want(200)
	d.call(admin, "POST", ticket.path("/comments"), object{"body": canary, "internal": true}).want(201)
	d.patch(second, ticket, object{"status": "blocked", "priority": "high"}).want(200)
	d.patch(second, ticket, object{"status": "resolved", "resolution": "New drum"}).want(200)
	d.patch(reporter, ticket, object{"status": "open"}).want(200)
	d.call(admin, "POST", ticket.path("/assign"), object{"engineer_id": first.ID}).want(200)
	d.call(first, "POST", ticket.path("/accept"), nil).want(200)
	d.do(func(q *crmdb.Queries) error { return d.leave(q, first, admin, "customer", "approved") })

	server := d.server()
	demoted := somebody{ID: first.ID, Role: "customer"}
	for _, who := range []somebody{reporter, stranger, demoted} {
		for _, door := range customersDoors(ticket) {
			answer := d.call(who, "GET", door, nil)
			for _, secret := range []string{canary, "zcan", "active_tickets", "candidates", "why", "fewest_active", "outcome"} {
				if strings.Contains(string(answer.Body), secret) {
					t.Errorf("%s reads %q through %s: %s", who.Role, secret, door, answer.Body)
				}
			}
			if who.ID != reporter.ID && strings.Contains(string(answer.Body), ticket.ID.String()) {
				t.Errorf("a stranger sees the ticket through %s", door)
			}
		}
		for _, query := range []string{"", "q=" + canary} {
			response := d.table(context.Background(), server, who, query)
			data, err := io.ReadAll(response.Body)
			if err != nil || strings.Contains(string(data), canary) || who.ID != reporter.ID && strings.Contains(string(data), ticket.ID.String()) {
				t.Errorf("the table of %s: %s %v", who.Role, data, err)
			}
			_ = response.Body.Close()
		}
		for _, query := range []string{"q=" + canary, "q=zcan&status=open"} {
			if total := parse[countsView](d.call(who, "GET", "/v1/tickets/counts?"+query, nil).want(200)).Total; total != 0 {
				t.Errorf("%s counts %d for %s", who.Role, total, query)
			}
		}
	}
	customers := []string{reporter.Email, stranger.Email}
	mails := 0
	for _, l := range d.letters() {
		for _, to := range l.To {
			if !slices.Contains(customers, to) {
				continue
			}
			mails++
			for _, secret := range []string{canary, "active_tickets", "fewest"} {
				if strings.Contains(l.Subject+l.Text+l.HTML, secret) {
					t.Errorf("the mail %s tells %q:\n%s", l, secret, l.Text)
				}
			}
		}
	}
	if mails < 6 {
		t.Errorf("only %d mails to customers: the test sees too little", mails)
	}

	// The control: staff reads it all through the same doors.
	for _, door := range []string{ticket.path("/comments"), ticket.path("/events?limit=100")} {
		if !strings.Contains(string(d.call(admin, "GET", door, nil).want(200).Body), canary) {
			t.Errorf("staff can't read it through %s: the test can't fail", door)
		}
	}
	if got := d.find(admin, canary); len(got) != 1 {
		t.Errorf("staff finds %v", got)
	}
}

func TestAnInternalCommentLeavesNoTraceForCustomers(t *testing.T) {
	d := newDesk(t)
	customer, engineer := d.user("customer"), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	before := d.call(customer, "GET", ticket.path(""), nil).want(200)
	events := d.call(customer, "GET", ticket.path("/events"), nil).want(200)
	d.call(engineer, "POST", ticket.path("/comments"), object{"body": canary, "internal": true}).want(201)
	after := d.call(customer, "GET", ticket.path(""), nil).want(200)
	if string(after.Body) != string(before.Body) || after.Header.Get("ETag") != before.Header.Get("ETag") {
		t.Errorf("%s\n%s", before.Body, after.Body)
	}
	if again := d.call(customer, "GET", ticket.path("/events"), nil).want(200); string(again.Body) != string(events.Body) {
		t.Errorf("%s", again.Body)
	}
}

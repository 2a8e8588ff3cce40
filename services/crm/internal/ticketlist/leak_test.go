package ticketlist

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

// canary is a word that no customer may ever read.
const canary = "zcanaryz"

// customerReads are all paths by which a customer can read about a ticket.
func customerReads(t crmtest.Ticket) []string {
	paths := []string{t.Path(""), t.Path("/comments?limit=100"), t.Path("/events?limit=100"), t.Path("/notifications"), "/v1/tickets/counts"}
	for _, query := range []string{"", "q=" + canary, "q=zcan", "q=%23" + "1", "q=printer", "q=" + canary + "&sort=relevance", "q=printer&sort=relevance", "assignee=none", "active=true", "reporter=me", "follower=me", "follower=me&q=printer", "sort=-updated_at"} {
		paths = append(paths, "/v1/tickets?"+query, "/v1/tickets/counts?"+strings.TrimSuffix(strings.TrimSuffix(query, "&sort=relevance"), "sort=-updated_at"))
	}
	return paths
}

func TestNoRouteShowsACustomerStaffData(t *testing.T) {
	d := newTestEnv(t)
	reporter, follower, otherCustomer, admin := d.User("customer"), d.User("customer"), d.User("customer"), d.User("admin")
	a, b := d.Engineer(), d.Engineer()
	raised, first, second := d.Pair(reporter, a, b)
	d.Call(first, "POST", raised.Path("/followers"), crmtest.Object{"email": follower.Email}).Want(201)
	d.Call(first, "POST", raised.Path("/accept"), nil).Want(200)
	d.Call(first, "POST", raised.Path("/comments"), crmtest.Object{"body": canary + " internal", "internal": true}).Want(201)
	d.Call(first, "POST", raised.Path("/decline"), crmtest.Object{"reason": canary + " reason"}).Want(200)
	d.Call(second, "POST", raised.Path("/accept"), nil).Want(200)
	d.Call(admin, "POST", raised.Path("/comments"), crmtest.Object{"body": canary, "internal": true}).Want(201)
	d.Patch(second, raised, crmtest.Object{"status": "blocked", "priority": "high"}).Want(200)
	d.Patch(second, raised, crmtest.Object{"status": "resolved", "resolution": "New drum"}).Want(200)
	d.Patch(reporter, raised, crmtest.Object{"status": "open"}).Want(200)
	d.Call(admin, "POST", raised.Path("/assign"), crmtest.Object{"engineer_id": first.ID}).Want(200)
	d.Call(first, "POST", raised.Path("/accept"), nil).Want(200)
	d.Do(func(q *crmdb.Queries) error { return d.Leave(q, first, admin, "customer", "approved") })

	server := d.server()
	demoted := crmtest.User{ID: first.ID, Role: "customer"}
	for _, who := range []crmtest.User{reporter, follower, otherCustomer, demoted} {
		for _, path := range customerReads(raised) {
			answer := d.Call(who, "GET", path, nil)
			for _, secret := range []string{canary, "zcan", "active_tickets", "candidates", "why", "fewest_active", "outcome"} {
				if strings.Contains(string(answer.Body), secret) {
					t.Errorf("%s reads %q through %s: %s", who.Role, secret, path, answer.Body)
				}
			}
			if who.ID != reporter.ID && who.ID != follower.ID && strings.Contains(string(answer.Body), raised.ID.String()) {
				t.Errorf("another customer sees the ticket through %s", path)
			}
		}
		for _, query := range []string{"", "q=" + canary} {
			response := d.export(context.Background(), server, who, query)
			data, err := io.ReadAll(response.Body)
			if err != nil || strings.Contains(string(data), canary) || who.ID != reporter.ID && strings.Contains(string(data), raised.ID.String()) {
				t.Errorf("the export of %s: %s %v", who.Role, data, err)
			}
			_ = response.Body.Close()
		}
		for _, query := range []string{"q=" + canary, "q=zcan&status=open"} {
			if total := crmtest.Parse[ticketCountsView](d.Call(who, "GET", "/v1/tickets/counts?"+query, nil).Want(200)).Total; total != 0 {
				t.Errorf("%s counts %d for %s", who.Role, total, query)
			}
		}
	}
	customers := []string{reporter.Email, otherCustomer.Email}
	mails := 0
	for _, l := range d.Messages() {
		for _, to := range l.To {
			if !slices.Contains(customers, to) {
				continue
			}
			mails++
			for _, secret := range []string{canary, "active_tickets", "fewest"} {
				if strings.Contains(l.Subject+l.Text+l.HTML, secret) {
					t.Errorf("the mail %s contains %q:\n%s", l, secret, l.Text)
				}
			}
		}
	}
	if mails < 6 {
		t.Errorf("only %d mails to customers: the test sees too little", mails)
	}

	// The control: staff can read all of it by the same paths.
	for _, path := range []string{raised.Path("/comments"), raised.Path("/events?limit=100")} {
		if !strings.Contains(string(d.Call(admin, "GET", path, nil).Want(200).Body), canary) {
			t.Errorf("staff can't read it through %s: the test can't fail", path)
		}
	}
	if got := d.find(admin, canary); len(got) != 1 {
		t.Errorf("staff finds %v", got)
	}
}

func TestInternalCommentIsInvisibleToCustomers(t *testing.T) {
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	raised := d.Raise(customer, "Printer", "It smokes")
	before := d.Call(customer, "GET", raised.Path(""), nil).Want(200)
	events := d.Call(customer, "GET", raised.Path("/events"), nil).Want(200)
	d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": canary, "internal": true}).Want(201)
	after := d.Call(customer, "GET", raised.Path(""), nil).Want(200)
	if string(after.Body) != string(before.Body) || after.Header.Get("ETag") != before.Header.Get("ETag") {
		t.Errorf("%s\n%s", before.Body, after.Body)
	}
	if again := d.Call(customer, "GET", raised.Path("/events"), nil).Want(200); string(again.Body) != string(events.Body) {
		t.Errorf("%s", again.Body)
	}
}

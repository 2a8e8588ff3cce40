package eventstream

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"fixdesk/pkg/dev/apitest"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// everyKind makes events of all kinds, those of tickets with and without an
// assignee and edits of all fields among them.
func (d *testEnv) everyKind(customer, admin crmtest.User) {
	d.Helper()
	waiting := d.Raise(customer, "Lamp", "It flickers") // there is no engineer yet
	engineer := d.Engineer()
	d.Call(engineer, "POST", waiting.Path("/accept"), nil).Want(200)
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", raised.Path("/decline"), crmtest.Object{"reason": "On leave"}).Want(200)
	d.Call(admin, "POST", raised.Path("/assign"), crmtest.Object{"engineer_id": engineer.ID}).Want(200)
	d.Call(admin, "POST", raised.Path("/assign"), crmtest.Object{"engineer_id": nil}).Want(200)
	d.Call(admin, "POST", raised.Path("/assign"), crmtest.Object{"engineer_id": engineer.ID}).Want(200)
	d.Patch(admin, raised, crmtest.Object{"title": "Printer on fire", "description": "It burns", "priority": "urgent"}).Want(200)
	d.Patch(engineer, raised, crmtest.Object{"status": "in_progress", "priority": "high"}).Want(200)
	d.Patch(engineer, raised, crmtest.Object{"status": "blocked", "blocked_reason": "A part is missing", "waiting_for": "customer"}).Want(200)
	comment := d.Call(customer, "POST", raised.Path("/comments"), crmtest.Object{"body": "Here it is"}).Want(201)
	d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": "Good", "internal": true}).Want(201)
	d.Patch(engineer, raised, crmtest.Object{"status": "resolved", "resolution": "A new drum"}).Want(200)
	d.Patch(customer, raised, crmtest.Object{"status": "open"}).Want(200)
	follower := d.Call(admin, "POST", raised.Path("/followers"), crmtest.Object{"email": "zoe@example.com", "name": "Zoe"}).Want(201)
	d.Call(admin, "DELETE", raised.Path("/followers/"+crmtest.Parse[struct{ ID string }](follower).ID), nil).Want(204)
	d.decideHeld(customer, admin, raised)
	d.Call(admin, "DELETE", raised.Path("/comments/"+crmtest.Parse[struct{ ID string }](comment).ID), nil).Want(204)
}

// decideHeld makes two held comments, and lets one in and refuses the other.
func (d *testEnv) decideHeld(author, admin crmtest.User, raised crmtest.Ticket) {
	d.Helper()
	tickets := ticket.NewService(ticket.Config{Pool: d.Pool, Now: d.Now, Changed: func() {}})
	for _, letIn := range []bool{true, false} {
		var held ticket.Comment
		d.Do(func(q *crmdb.Queries) (err error) {
			held, err = tickets.HoldComment(d.Context(), q, ticket.Viewer{ID: author.ID, Role: author.Role}, raised.ID, ticket.ByMail{Body: "By mail"})
			return err
		})
		d.Exec(`insert into inbound_mails (id, received_at, processed_at, outcome, reason, ticket_id, comment_id)
		        values (gen_random_uuid(), now(), now(), 'held', 'stranger', $1, $2)`, raised.ID, held.ID)
		if err := tickets.DecideComment(d.Context(), ticket.Viewer{ID: admin.ID, Role: admin.Role}, raised.ID, held.ID, letIn); err != nil {
			d.Fatal(err)
		}
	}
}

// staffKinds are the kinds of which customers learn nothing.
var staffKinds = []string{ticket.EventCommentReleased, ticket.EventCommentRefused, ticket.EventFollowerAdded, ticket.EventFollowerRemoved}

func TestEveryKindOfEventIsAsTheDocumentDescribesIt(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	r := d.newReplica(nil)
	customer, admin := d.User("customer"), d.User("admin")
	document, err := apitest.Load(t.Context(), r.url)
	if err != nil {
		t.Fatal(err)
	}
	kinds := document.Enum("EventKind")
	slices.Sort(kinds)
	want := map[string][]string{
		"admin":    kinds,
		"customer": slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return slices.Contains(staffKinds, kind) }),
	}
	streams := map[string]*client{
		"customer": d.connect(r.url, customer.ID.String(), "0"), "admin": d.connect(r.url, admin.ID.String(), "0"),
	}
	d.everyKind(customer, admin)
	examples := map[string]string{}
	for name, stream := range streams {
		seen := map[string]bool{}
		for _, e := range stream.until(func(e receivedEvent) bool { return e.kind == ticket.EventCommentRemoved }) {
			seen[e.kind], examples[e.kind] = true, e.data
			if err := document.Validate("Event", e.data); err != nil {
				t.Errorf("%s of %s: %v\n%s", e.kind, name, err, e.data)
			}
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want[name]) {
			t.Errorf("%s received %v, the document has %v", name, got, want[name])
		}
	}
	// The controls: the same events with one defect.
	for kind, data := range examples {
		for _, wrong := range []string{
			strings.Replace(data, `"kind":"`+kind+`"`, `"kind":"merged"`, 1),
			strings.Replace(data, `"ticket_number":`, `"number":`, 1),
			strings.Replace(data, `"changes":{`, `"changes":{"email":{"from":null,"to":null},`, 1),
		} {
			wrong = strings.Replace(wrong, `null},}`, `null}}`, 1)
			if wrong == data || document.Validate("Event", wrong) == nil {
				t.Errorf("as described, although it is not: %s", wrong)
			}
		}
	}
	if other := strings.Replace(examples[ticket.EventCommented], `"kind":"commented"`, `"kind":"created"`, 1); document.Validate("Event", other) == nil {
		t.Errorf("one kind may have the changes of another: %s", other)
	}
}

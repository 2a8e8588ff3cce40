package eventstream

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"fixdesk/pkg/dev/apitest"
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
	d.Call(admin, "DELETE", raised.Path("/comments/"+crmtest.Parse[struct{ ID string }](comment).ID), nil).Want(204)
}

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
	want := document.Enum("EventKind")
	slices.Sort(want)
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
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, want) {
			t.Errorf("%s received %v, the document has %v", name, got, want)
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

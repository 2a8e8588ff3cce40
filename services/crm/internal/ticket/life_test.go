package ticket

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// story is the events of a ticket as somebody reads them, a line each.
func (d *desk) story(who somebody, t ticketBody) []string {
	d.Helper()
	var lines []string
	for _, e := range d.events(who, t) {
		by := "-"
		if e.Actor != nil {
			by = e.Actor.Name
		}
		line := e.Kind + " by " + by
		for _, field := range []string{"status", "title", "priority", "resolution", "description", "assignee"} {
			var c struct{ From, To any }
			if data, ok := e.Changes[field]; ok {
				if err := json.Unmarshal(data, &c); err != nil {
					d.Fatal(err)
				}
				line += fmt.Sprintf(" %s(%s>%s)", field, name(c.From), name(c.To))
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func name(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case map[string]any:
		return v["name"].(string)
	}
	return fmt.Sprint(v)
}

func (d *desk) wantStory(who somebody, t ticketBody, want ...string) {
	d.Helper()
	if got := d.story(who, t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		d.Errorf("%s reads\n\t%s\nwant\n\t%s", who.Name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestTheWholeLifeOfATicketIsToldWithBeforeAndAfter(t *testing.T) {
	d := newDesk(t)
	customer, engineer, admin := d.user("customer"), d.engineer(), d.user("admin")

	created := d.call(customer, "POST", "/v1/tickets", object{"title": "Printer", "description": "It smokes"}).want(201)
	ticket := parse[ticketBody](created)
	if created.Header.Get("Location") != ticket.path("") || created.Header.Get("ETag") != `"1"` {
		t.Errorf("headers %v", created.Header)
	}
	if ticket.Status != "open" || ticket.Priority != "normal" || !ticket.of(engineer) || ticket.Number < 1 || ticket.Reporter.ID != customer.ID {
		t.Errorf("raised as %+v", ticket)
	}
	d.wantTold("raising", "ticket_received > "+customer.Email, "ticket_assigned > "+engineer.Email)

	accepted := parse[ticketBody](d.call(engineer, "POST", ticket.path("/accept"), nil).want(200))
	if accepted.Status != "in_progress" || accepted.AcceptedAt == nil || accepted.Version != 2 {
		t.Errorf("accepted as %+v", accepted)
	}
	d.wantTold("accepting", "ticket_changed > "+customer.Email)

	d.call(customer, "POST", ticket.path("/comments"), object{"body": "Still smoking"}).want(201)
	d.wantTold("the reporter's comment", "ticket_commented > "+engineer.Email)
	d.call(engineer, "POST", ticket.path("/comments"), object{"body": "On my way"}).want(201)
	d.wantTold("the assignee's comment", "ticket_commented > "+customer.Email)
	d.call(admin, "POST", ticket.path("/comments"), object{"body": "Hurry", "internal": true}).want(201)
	d.wantTold("an internal comment", "ticket_commented > "+engineer.Email)

	d.patch(engineer, ticket, object{"status": "blocked"}).want(200)
	d.wantTold("blocking", "ticket_changed > "+customer.Email)
	d.patch(engineer, ticket, object{"status": "in_progress", "priority": "high"}).want(200)
	resolved := parse[ticketBody](d.patch(engineer, ticket, object{"status": "resolved", "resolution": "A new drum"}).want(200))
	if resolved.ResolvedAt == nil || resolved.Resolution == nil || *resolved.Resolution != "A new drum" {
		t.Errorf("resolved as %+v", resolved)
	}
	d.told()
	reopened := parse[ticketBody](d.patch(customer, ticket, object{"status": "open"}).want(200))
	if reopened.ResolvedAt != nil || reopened.Resolution != nil || !reopened.of(engineer) {
		t.Errorf("reopened as %+v", reopened)
	}
	d.wantTold("reopening", "ticket_changed > "+engineer.Email)
	d.patch(admin, ticket, object{"title": "Printer 2"}).want(200)
	d.wantTold("an admin's edit", "ticket_changed > "+engineer.Email, "ticket_changed > "+customer.Email)
	closed := parse[ticketBody](d.patch(customer, ticket, object{"status": "closed"}).want(200))
	if closed.ClosedAt == nil || closed.Status != "closed" {
		t.Errorf("closed as %+v", closed)
	}

	seen := []string{
		"created by Customer 1 title(>Printer) priority(>normal)",
		"assigned by - assignee(>Engineer 2)",
		"accepted by Engineer 2 status(open>in_progress)",
		"commented by Customer 1",
		"commented by Engineer 2",
		"status_changed by Engineer 2 status(in_progress>blocked)",
		"status_changed by Engineer 2 status(blocked>in_progress) priority(normal>high)",
		"status_changed by Engineer 2 status(in_progress>resolved) resolution(>A new drum)",
		"reopened by Customer 1 status(resolved>open) resolution(A new drum>)",
		"updated by Admin 3 title(Printer>Printer 2)",
		"status_changed by Customer 1 status(open>closed)",
	}
	d.wantStory(customer, ticket, seen...)
	d.wantStory(engineer, ticket, append(append(append([]string{}, seen[:5]...), "commented by Admin 3"), seen[5:]...)...)
	if n := get[int](d, wrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestTheMailOfAChangeSaysWhatByWhomAndTheLatestComment(t *testing.T) {
	d := newDesk(t)
	customer, engineer := d.user("customer"), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	d.call(engineer, "POST", ticket.path("/accept"), nil).want(200)
	d.call(engineer, "POST", ticket.path("/comments"), object{"body": "We wait for a part"}).want(201)
	d.call(engineer, "POST", ticket.path("/comments"), object{"body": "SECRET", "internal": true}).want(201)
	d.letters()
	d.patch(engineer, ticket, object{"status": "blocked"}).want(200)
	letters := d.letters()
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	for _, words := range []string{"in progress", "blocked", engineer.Name, "We wait for a part", ticket.path("/comments")} {
		if !strings.Contains(letters[0].Text, words) {
			t.Errorf("the mail doesn't say %q:\n%s", words, letters[0].Text)
		}
	}
	if strings.Contains(letters[0].Text+letters[0].HTML, "SECRET") {
		t.Error("the mail quotes an internal comment")
	}
	if letters[0].Thread != "ticket-"+ticket.ID.String() {
		t.Errorf("thread %q", letters[0].Thread)
	}
}

func TestAStaleIfMatchIsRefusedAndAFreshOnePasses(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	ticket := d.raise(customer, "Printer", "It smokes")
	d.patch(customer, ticket, object{"title": "A"}, "If-Match", `"1"`).want(200)
	d.patch(customer, ticket, object{"title": "B"}, "If-Match", `"1"`).refused(412, "version_mismatch")
	d.patch(customer, ticket, object{"title": "B"}, "If-Match", `"7", "2"`).want(200)
	d.patch(customer, ticket, object{"title": "C"}, "If-Match", `*`).want(200)
	d.patch(customer, ticket, object{"title": "D"}, "If-Match", `W/"4"`).refused(412, "version_mismatch")
	d.patch(customer, ticket, object{"title": "D"}, "If-Match", `4`).refused(422, "validation_failed")
	got := d.call(customer, "GET", ticket.path(""), nil).want(200)
	if body := parse[ticketBody](got); body.Title != "C" || body.Version != 4 || got.Header.Get("ETag") != `"4"` {
		t.Errorf("%+v with %s", body, got.Header.Get("ETag"))
	}
	same := d.patch(customer, ticket, object{"title": "C"}).want(200)
	if same.Header.Get("ETag") != `"4"` {
		t.Error("an edit that changes nothing moved the version")
	}
	d.told()
	d.patch(customer, ticket, object{}).want(200)
	d.wantTold("an edit that changes nothing")
}

func TestARefusedStepNamesThePossibleOnes(t *testing.T) {
	d := newDesk(t)
	customer, engineer, admin := d.user("customer"), d.engineer(), d.user("admin")
	ticket := d.raise(customer, "Printer", "It smokes")
	for _, c := range []struct {
		who  somebody
		edit object
		want string
	}{
		{customer, object{"status": "in_progress"}, "open; from here you can take it to: closed."},
		{customer, object{"status": "open"}, "open; from here you can take it to: closed."},
		{engineer, object{"status": "blocked"}, "open; from here you can take it to: in_progress."},
		{admin, object{"status": "resolved", "resolution": "x"}, "open; from here you can take it to: in_progress, closed."},
	} {
		p := d.patch(c.who, ticket, c.edit).refused(409, "invalid_transition")
		if !strings.HasSuffix(p.Detail, c.want) {
			t.Errorf("%s %v: %q", c.who.Role, c.edit, p.Detail)
		}
	}
	d.patch(customer, ticket, object{"status": "closed"}).want(200)
	p := d.patch(engineer, ticket, object{"status": "in_progress"}).refused(409, "invalid_transition")
	if !strings.Contains(p.Detail, "you can't change its status now") {
		t.Error(p.Detail)
	}
}

func TestTheResolutionIsWhatIsMissingWhenResolvingWithoutOne(t *testing.T) {
	d := newDesk(t)
	customer, engineer := d.user("customer"), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	d.call(engineer, "POST", ticket.path("/accept"), nil).want(200)
	p := d.patch(engineer, ticket, object{"status": "resolved"}).refused(422, "validation_failed")
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.resolution" {
		t.Errorf("%+v", p)
	}
	d.patch(engineer, ticket, object{"resolution": "x"}).refused(422, "validation_failed")
}

func TestStrangersChangeNothing(t *testing.T) {
	d := newDesk(t)
	customer, stranger, engineer, bystander := d.user("customer"), d.user("customer"), d.engineer(), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	if !ticket.of(engineer) {
		engineer, bystander = bystander, engineer
	}
	missing := ticketBody{ID: uuid.Must(uuid.NewV7())}
	for path, body := range map[string]any{"": object{"title": "x"}, "/comments": object{"body": "x"}} {
		method := map[bool]string{true: "PATCH", false: "POST"}[path == ""]
		got := d.call(stranger, method, ticket.path(path), body, "X-Request-ID", "same")
		want := d.call(stranger, method, missing.path(path), body, "X-Request-ID", "same").want(404)
		if got.Code != 404 || string(got.Body) != string(want.Body) {
			t.Errorf("%s %s: %d %s", method, path, got.Code, got.Body)
		}
	}
	d.patch(bystander, ticket, object{"title": "x"}).refused(403, "forbidden")
	d.call(bystander, "POST", ticket.path("/accept"), nil).refused(403, "forbidden")
	d.call(bystander, "POST", ticket.path("/decline"), object{"reason": "x"}).refused(403, "forbidden")
	d.call(customer, "POST", ticket.path("/accept"), nil).refused(403, "forbidden")
	d.call(customer, "POST", ticket.path("/comments"), object{"body": "x", "internal": true}).refused(403, "forbidden")
	d.call(engineer, "POST", ticket.path("/assign"), object{"engineer_id": nil}).refused(403, "forbidden")
	d.patch(customer, ticket, object{"priority": "urgent"}).refused(403, "forbidden")
	if after := d.read(customer, ticket); after.Version != 1 {
		t.Errorf("changed to %+v", after)
	}
	if n := len(d.events(engineer, ticket)); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestFieldsThatAreNoInputsAreRefused(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	ticket := d.raise(customer, "Printer", "It smokes")
	for _, field := range []string{"id", "number", "assignee_id", "assignee", "reporter", "reporter_id", "version", "created_at", "closed_at", "Title", "internal"} {
		d.patch(customer, ticket, object{field: "x"}).refused(422, "validation_failed")
		d.call(customer, "POST", "/v1/tickets", object{"title": "x", "description": "x", field: "x"}).refused(422, "validation_failed")
	}
	d.call(customer, "POST", "/v1/tickets", object{"title": "x", "description": "x", "status": "closed"}).refused(422, "validation_failed")
	for _, edit := range []object{{"title": ""}, {"title": " \t "}, {"title": "a\nb"}, {"title": strings.Repeat("ä", 201)}, {"description": strings.Repeat("ä", 20001)}, {"description": "\x07"}, {"priority": "highest"}} {
		d.patch(customer, ticket, edit).refused(422, "validation_failed")
	}
	d.patch(customer, ticket, object{"title": strings.Repeat("ä", 200), "description": strings.Repeat("ä", 20000)}).want(200)
}

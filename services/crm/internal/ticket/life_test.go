package ticket

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
)

// eventLines are the events of a ticket that a user may read, one line each.
func (d *testEnv) eventLines(who crmtest.User, t crmtest.Ticket) []string {
	d.Helper()
	var lines []string
	for _, e := range d.Events(who, t) {
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

func (d *testEnv) wantEventLines(who crmtest.User, t crmtest.Ticket, want ...string) {
	d.Helper()
	if got := d.eventLines(who, t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		d.Errorf("%s reads\n\t%s\nwant\n\t%s", who.Name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestEventsHaveTheValuesBeforeAndAfter(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")

	created := d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "Printer", "description": "It smokes"}).Want(201)
	ticket := crmtest.Parse[crmtest.Ticket](created)
	if created.Header.Get("Location") != ticket.Path("") || !strings.HasPrefix(created.Header.Get("ETag"), `"1-`) {
		t.Errorf("headers %v", created.Header)
	}
	if ticket.Status != "open" || ticket.Priority != "normal" || !ticket.AssignedTo(engineer) || ticket.Number < 1 || ticket.Reporter.ID != customer.ID {
		t.Errorf("raised as %+v", ticket)
	}
	d.WantNotices("raising", "ticket_received > "+customer.Email, "ticket_assigned > "+engineer.Email)

	accepted := crmtest.Parse[crmtest.Ticket](d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200))
	if accepted.Status != "in_progress" || accepted.AcceptedAt == nil || accepted.Version != 2 {
		t.Errorf("accepted as %+v", accepted)
	}
	d.WantNotices("accepting", "ticket_changed > "+customer.Email)

	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Still smoking"}).Want(201)
	d.WantNotices("the reporter's comment", "ticket_commented > "+engineer.Email)
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "On my way"}).Want(201)
	d.WantNotices("the assignee's comment", "ticket_commented > "+customer.Email)
	d.Call(admin, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Hurry", "internal": true}).Want(201)
	d.WantNotices("an internal comment", "ticket_commented > "+engineer.Email)

	d.Patch(engineer, ticket, crmtest.Object{"status": "blocked"}).Want(200)
	d.WantNotices("blocking", "ticket_changed > "+customer.Email)
	d.Patch(engineer, ticket, crmtest.Object{"status": "in_progress", "priority": "high"}).Want(200)
	resolved := crmtest.Parse[crmtest.Ticket](d.Patch(engineer, ticket, crmtest.Object{"status": "resolved", "resolution": "A new drum"}).Want(200))
	if resolved.ResolvedAt == nil || resolved.Resolution == nil || *resolved.Resolution != "A new drum" {
		t.Errorf("resolved as %+v", resolved)
	}
	d.Notices()
	reopened := crmtest.Parse[crmtest.Ticket](d.Patch(customer, ticket, crmtest.Object{"status": "open"}).Want(200))
	if reopened.ResolvedAt != nil || reopened.Resolution != nil || !reopened.AssignedTo(engineer) {
		t.Errorf("reopened as %+v", reopened)
	}
	d.WantNotices("reopening", "ticket_changed > "+engineer.Email)
	d.Patch(admin, ticket, crmtest.Object{"title": "Printer 2"}).Want(200)
	d.WantNotices("an admin's edit", "ticket_changed > "+engineer.Email, "ticket_changed > "+customer.Email)
	closed := crmtest.Parse[crmtest.Ticket](d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200))
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
	d.wantEventLines(customer, ticket, seen...)
	d.wantEventLines(engineer, ticket, append(append(append([]string{}, seen[:5]...), "commented by Admin 3"), seen[5:]...)...)
	if n := crmtest.Get[int](d.Env, crmtest.WrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestMailOfAChangeHasItsFieldsItsActorAndTheLatestComment(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "We wait for a part"}).Want(201)
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "SECRET", "internal": true}).Want(201)
	d.Messages()
	d.Patch(engineer, ticket, crmtest.Object{"status": "blocked"}).Want(200)
	mails := d.Messages()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	for _, words := range []string{"in progress", "blocked", engineer.Name, "We wait for a part", fmt.Sprint("/tickets/", ticket.Number)} {
		if !strings.Contains(mails[0].Text, words) {
			t.Errorf("the mail doesn't say %q:\n%s", words, mails[0].Text)
		}
	}
	if strings.Contains(mails[0].Text+mails[0].HTML, "SECRET") {
		t.Error("the mail quotes an internal comment")
	}
	if mails[0].Thread != "ticket-"+ticket.ID.String() {
		t.Errorf("thread %q", mails[0].Thread)
	}
}

func TestStaleIfMatchIsRefusedAndAFreshOneAccepted(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Patch(customer, ticket, crmtest.Object{"title": "A"}, "If-Match", `"1"`).Want(200)
	d.Patch(customer, ticket, crmtest.Object{"title": "B"}, "If-Match", `"1"`).Refused(412, "version_mismatch")
	d.Patch(customer, ticket, crmtest.Object{"title": "B"}, "If-Match", `"7", "2"`).Want(200)
	d.Patch(customer, ticket, crmtest.Object{"title": "C"}, "If-Match", `*`).Want(200)
	d.Patch(customer, ticket, crmtest.Object{"title": "D"}, "If-Match", `W/"4"`).Refused(412, "version_mismatch")
	for _, invalid := range []string{`4`, ""} {
		d.Patch(customer, ticket, crmtest.Object{"title": "D"}, "If-Match", invalid).Refused(422, "validation_failed")
	}
	got := d.Call(customer, "GET", ticket.Path(""), nil).Want(200)
	if body := crmtest.Parse[crmtest.Ticket](got); body.Title != "C" || body.Version != 4 || !strings.HasPrefix(got.Header.Get("ETag"), `"4-`) {
		t.Errorf("%+v with %s", body, got.Header.Get("ETag"))
	}
	same := d.Patch(customer, ticket, crmtest.Object{"title": "C"}).Want(200)
	if same.Header.Get("ETag") != got.Header.Get("ETag") {
		t.Error("an edit that changes nothing moved the version")
	}
	d.Notices()
	d.Patch(customer, ticket, crmtest.Object{}).Want(200)
	d.WantNotices("an edit that changes nothing")
}

func TestRefusedStepNamesThePossibleOnes(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for _, c := range []struct {
		who  crmtest.User
		edit crmtest.Object
		want string
	}{
		{customer, crmtest.Object{"status": "in_progress"}, "open; you can change its status to: closed."},
		{customer, crmtest.Object{"status": "resolved"}, "open; you can change its status to: closed."},
		{engineer, crmtest.Object{"status": "blocked"}, "open; you can change its status to: in_progress."},
		{admin, crmtest.Object{"status": "resolved", "resolution": "x"}, "open; you can change its status to: in_progress, closed."},
	} {
		p := d.Patch(c.who, ticket, c.edit).Refused(409, "invalid_transition")
		if !strings.HasSuffix(p.Detail, c.want) {
			t.Errorf("%s %v: %q", c.who.Role, c.edit, p.Detail)
		}
	}
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	p := d.Patch(engineer, ticket, crmtest.Object{"status": "in_progress"}).Refused(409, "invalid_transition")
	if !strings.Contains(p.Detail, "you can't change its status") {
		t.Error(p.Detail)
	}
}

func TestResolvingWithoutAResolutionIsRefusedByThatField(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	p := d.Patch(engineer, ticket, crmtest.Object{"status": "resolved"}).Refused(422, "validation_failed")
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.resolution" {
		t.Errorf("%+v", p)
	}
	d.Patch(engineer, ticket, crmtest.Object{"resolution": "x"}).Refused(422, "validation_failed")
}

func TestUserWithoutAPartInTheTicketChangesNothing(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, otherCustomer, engineer, otherEngineer := d.User("customer"), d.User("customer"), d.Engineer(), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	if !ticket.AssignedTo(engineer) {
		engineer, otherEngineer = otherEngineer, engineer
	}
	missing := crmtest.Ticket{ID: uuid.Must(uuid.NewV7())}
	for path, body := range map[string]any{"": crmtest.Object{"title": "x"}, "/comments": crmtest.Object{"body": "x"}} {
		method := map[bool]string{true: "PATCH", false: "POST"}[path == ""]
		got := d.Call(otherCustomer, method, ticket.Path(path), body, "X-Request-ID", "same")
		want := d.Call(otherCustomer, method, missing.Path(path), body, "X-Request-ID", "same").Want(404)
		if got.Code != 404 || string(got.Body) != string(want.Body) {
			t.Errorf("%s %s: %d %s", method, path, got.Code, got.Body)
		}
	}
	d.Patch(otherEngineer, ticket, crmtest.Object{"title": "x"}).Refused(403, "forbidden")
	d.Call(otherEngineer, "POST", ticket.Path("/accept"), nil).Refused(403, "forbidden")
	d.Call(otherEngineer, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "x"}).Refused(403, "forbidden")
	d.Call(customer, "POST", ticket.Path("/accept"), nil).Refused(403, "forbidden")
	d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "x", "internal": true}).Refused(403, "forbidden")
	d.Call(engineer, "POST", ticket.Path("/assign"), crmtest.Object{"engineer_id": nil}).Refused(403, "forbidden")
	if after := d.Read(customer, ticket); after.Version != 1 {
		t.Errorf("changed to %+v", after)
	}
	if n := len(d.Events(engineer, ticket)); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestReadOnlyFieldsAreRefusedAsInput(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	for _, field := range []string{"id", "number", "assignee_id", "assignee", "reporter", "reporter_id", "version", "created_at", "closed_at", "Title", "internal"} {
		d.Patch(customer, ticket, crmtest.Object{field: "x"}).Refused(422, "validation_failed")
		d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "x", "description": "x", field: "x"}).Refused(422, "validation_failed")
	}
	d.Call(customer, "POST", "/v1/tickets", crmtest.Object{"title": "x", "description": "x", "status": "closed"}).Refused(422, "validation_failed")
	for _, edit := range []crmtest.Object{{"title": ""}, {"title": " \t "}, {"title": "a\nb"}, {"title": strings.Repeat("ä", 201)}, {"description": strings.Repeat("ä", 20001)}, {"description": "\x07"}, {"priority": "highest"}} {
		d.Patch(customer, ticket, edit).Refused(422, "validation_failed")
	}
	d.Patch(customer, ticket, crmtest.Object{"title": strings.Repeat("ä", 200), "description": strings.Repeat("ä", 20000)}).Want(200)
}

// An answer that staff got must not be confirmed to the reporter, who sees less of
// it, nor after a change that has no version.
func TestTicketIsConfirmedToAViewerOnlyByTheirOwnETag(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	get := func(who crmtest.User, headers ...string) crmtest.Response {
		return d.Call(who, "GET", ticket.Path(""), nil, headers...)
	}
	staffs, own := get(admin).Want(200), get(customer).Want(200)
	tag := own.Header.Get("ETag")
	if staffs.Header.Get("ETag") == tag || !strings.Contains(string(staffs.Body), customer.Email) {
		t.Fatalf("staff and the reporter both have %s", tag)
	}
	if got := get(customer, "If-None-Match", staffs.Header.Get("ETag")).Want(200); strings.Contains(string(got.Body), customer.Email) {
		t.Errorf("%s", got.Body)
	}
	again := get(customer, "If-None-Match", tag).Want(304)
	byNumber := d.Call(customer, "HEAD", fmt.Sprintf("/v1/tickets/%d", ticket.Number), nil, "If-None-Match", tag).Want(304)
	if len(again.Body) != 0 || again.Header.Get("ETag") != tag || byNumber.Header.Get("ETag") != tag || again.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%v", again.Header)
	}
	d.Exec(`update users set name = 'Another name' where id = $1`, customer.ID)
	renamed := get(customer, "If-None-Match", tag).Want(200)
	if !strings.Contains(string(renamed.Body), "Another name") {
		t.Errorf("%s", renamed.Body)
	}
	d.Patch(customer, ticket, crmtest.Object{"title": "A"}, "If-Match", tag).Want(200) // the ticket itself is as it was
	d.Patch(customer, ticket, crmtest.Object{"title": "B"}, "If-Match", renamed.Header.Get("ETag")).Refused(412, "version_mismatch")
	get(d.User("customer"), "If-None-Match", "*").Refused(404, "not_found")
}

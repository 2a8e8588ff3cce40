package ticket

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
)

// pair raises a ticket and says which of two engineers has it.
func (d *desk) pair(reporter, a, b somebody) (ticket ticketBody, has, other somebody) {
	d.Helper()
	ticket = d.raise(reporter, "Printer", "It smokes")
	switch {
	case ticket.of(a):
		return ticket, a, b
	case ticket.of(b):
		return ticket, b, a
	}
	d.Fatalf("assigned to %+v", ticket.Assignee)
	return
}

func TestADeclinedTicketGoesToTheNextAndStaffAloneReadsTheReason(t *testing.T) {
	d := newDesk(t)
	customer, a, b := d.user("customer"), d.engineer(), d.engineer()
	ticket, first, second := d.pair(customer, a, b)
	d.told()
	d.call(first, "POST", ticket.path("/decline"), object{}).refused(422, "validation_failed")
	declined := parse[ticketBody](d.call(first, "POST", ticket.path("/decline"), object{"reason": "No time"}).want(200))
	if !declined.of(second) || declined.Status != "open" {
		t.Errorf("declined, it is %+v", declined)
	}
	d.wantTold("declining", "ticket_assigned > "+second.Email)
	d.wantStory(customer, ticket,
		"created by Customer 1 title(>Printer) priority(>normal)",
		"assigned by - assignee(>"+first.Name+")",
		"declined by "+first.Name,
		"assigned by "+first.Name+" assignee("+first.Name+">"+second.Name+")")
	reasons := 0
	for _, e := range d.events(second, ticket) {
		if strings.Contains(string(e.Changes["why"]), "No time") {
			reasons++
		}
	}
	if reasons == 0 {
		t.Error("staff can't read the reason")
	}
	d.call(first, "POST", ticket.path("/decline"), object{"reason": "Again"}).refused(403, "forbidden")
}

func TestADeclineInTheMidstOfWorkOpensTheTicketAndTellsTheReporter(t *testing.T) {
	d := newDesk(t)
	customer, a, b := d.user("customer"), d.engineer(), d.engineer()
	ticket, first, second := d.pair(customer, a, b)
	d.call(first, "POST", ticket.path("/accept"), nil).want(200)
	d.told()
	declined := parse[ticketBody](d.call(first, "POST", ticket.path("/decline"), object{"reason": "Ill"}).want(200))
	if declined.Status != "open" || !declined.of(second) {
		t.Errorf("%+v", declined)
	}
	letters := d.letters()
	var to []string
	for _, l := range letters {
		to = append(to, l.String())
		if slices.Contains(l.To, customer.Email) && strings.Contains(l.Text, "Ill") {
			t.Error("the reporter reads the reason")
		}
	}
	slices.Sort(to)
	if want := []string{"ticket_assigned > " + second.Email, "ticket_changed > " + customer.Email}; !slices.Equal(to, want) {
		t.Errorf("tells %q", to)
	}
	d.call(first, "POST", ticket.path("/accept"), nil).refused(403, "forbidden")
	d.call(second, "POST", ticket.path("/accept"), nil).want(200)
}

func TestADeclinedTicketThatNobodyElseCanTakeWaits(t *testing.T) {
	d := newDesk(t)
	customer, only := d.user("customer"), d.engineer()
	ticket := d.raise(customer, "Printer", "It smokes")
	declined := parse[ticketBody](d.call(only, "POST", ticket.path("/decline"), object{"reason": "No"}).want(200))
	if declined.Assignee != nil || declined.Status != "open" {
		t.Errorf("%+v", declined)
	}
	next := d.engineer()
	if !d.read(customer, ticket).of(next) {
		t.Error("who came did not get it")
	}
}

func TestAnAdminGivesAndTakesTickets(t *testing.T) {
	d := newDesk(t)
	customer, a, b, admin := d.user("customer"), d.engineer(), d.engineer(), d.user("admin")
	ticket, first, second := d.pair(customer, a, b)
	assign := func(id any) reply { return d.call(admin, "POST", ticket.path("/assign"), object{"engineer_id": id}) }
	d.told()
	if got := parse[ticketBody](assign(second.ID).want(200)); !got.of(second) || got.Version != 2 {
		t.Errorf("%+v", got)
	}
	d.wantTold("assigning", "ticket_assigned > "+second.Email, "ticket_unassigned > "+first.Email)
	if got := parse[ticketBody](assign(second.ID).want(200)); got.Version != 2 {
		t.Error("the same assignee again moved the version")
	}
	d.wantTold("the same assignee again")
	if got := parse[ticketBody](assign(nil).want(200)); got.Assignee != nil {
		t.Errorf("%+v", got)
	}
	d.wantTold("unassigning", "ticket_unassigned > "+second.Email)
	third := d.engineer()
	if got := d.read(admin, ticket); got.Assignee != nil {
		t.Error("what an admin took was given away again")
	}
	for _, wrong := range []any{customer.ID, admin.ID, uuid.Must(uuid.NewV7())} {
		assign(wrong).refused(422, "validation_failed")
	}
	for wrong, says := range map[any]string{"me": "must be a UUID", strings.Repeat("z", 36): "must be a UUID", 5: "must be a string"} {
		p := assign(wrong).refused(422, "validation_failed")
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.engineer_id" || p.Errors[0].Message != says {
			t.Errorf("%v: %+v", wrong, p.Errors)
		}
	}
	d.call(admin, "POST", ticket.path("/assign"), object{}).refused(422, "validation_failed")
	d.told()
	if got := parse[ticketBody](d.call(third, "POST", ticket.path("/accept"), nil).want(200)); !got.of(third) || got.Status != "in_progress" {
		t.Errorf("an unassigned ticket accepted: %+v", got)
	}
	d.wantTold("accepting an unassigned ticket", "ticket_changed > "+customer.Email)
	assign(nil).want(200)
	d.wantTold("unassigning in the midst of work", "ticket_unassigned > "+third.Email, "ticket_changed > "+customer.Email)
	d.patch(admin, ticket, object{"status": "in_progress"}).refused(409, "invalid_transition")
	d.patch(customer, ticket, object{"status": "closed"}).want(200)
	assign(first.ID).refused(409, "conflict")
	if n := get[int](d, wrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestReopeningAfterTheEngineerIsGoneAssignsAgain(t *testing.T) {
	d := newDesk(t)
	customer, a, b, admin := d.user("customer"), d.engineer(), d.engineer(), d.user("admin")
	ticket, gone, other := d.pair(customer, a, b)
	d.patch(customer, ticket, object{"status": "closed"}).want(200)
	d.suspend(gone, admin)
	if got := d.read(customer, ticket); !got.of(gone) {
		t.Errorf("a closed ticket changed hands: %+v", got)
	}
	d.told()
	reopened := parse[ticketBody](d.patch(customer, ticket, object{"status": "open"}).want(200))
	if !reopened.of(other) || reopened.ClosedAt != nil {
		t.Errorf("%+v", reopened)
	}
	d.wantTold("reopening", "ticket_assigned > "+other.Email)

	d.patch(customer, ticket, object{"status": "closed"}).want(200)
	d.suspend(other, admin)
	waits := parse[ticketBody](d.patch(customer, ticket, object{"status": "open"}).want(200))
	if waits.Assignee != nil {
		t.Errorf("%+v", waits)
	}
	if next := d.engineer(); !d.read(customer, ticket).of(next) {
		t.Error("the reopened ticket doesn't wait for an engineer")
	}
}

func TestAnAdminCantTakeUpTheResolvedTicketOfWhoIsGone(t *testing.T) {
	d := newDesk(t)
	customer, engineer, admin := d.user("customer"), d.engineer(), d.user("admin")
	ticket := d.raise(customer, "Printer", "It smokes")
	d.call(engineer, "POST", ticket.path("/accept"), nil).want(200)
	d.patch(engineer, ticket, object{"status": "resolved", "resolution": "x"}).want(200)
	d.suspend(engineer, admin)
	p := d.patch(admin, ticket, object{"status": "in_progress"}).refused(409, "invalid_transition")
	if !strings.Contains(p.Detail, "open") {
		t.Errorf("it doesn't say what to do: %q", p.Detail)
	}
	d.patch(admin, ticket, object{"status": "open"}).want(200)
}

func TestTheTicketsOfASuspendedEngineerGoOnAndTheirReportersAreTold(t *testing.T) {
	d := newDesk(t)
	customer, a, b, admin := d.user("customer"), d.engineer(), d.engineer(), d.user("admin")
	ticket, gone, other := d.pair(customer, a, b)
	d.call(gone, "POST", ticket.path("/accept"), nil).want(200)
	d.told()
	d.suspend(gone, admin)
	after := d.read(customer, ticket)
	if !after.of(other) || after.Status != "open" {
		t.Errorf("%+v", after)
	}
	d.wantTold("suspending", "ticket_assigned > "+other.Email, "ticket_changed > "+customer.Email)
}

func TestWhoIsSuspendedOrMayNotSeeATicketIsToldNothing(t *testing.T) {
	d := newDesk(t)
	customer, engineer, admin := d.user("customer"), d.engineer(), d.user("admin")
	resolved := d.raise(customer, "Printer", "It smokes")
	d.call(engineer, "POST", resolved.path("/accept"), nil).want(200)
	d.patch(engineer, resolved, object{"status": "resolved", "resolution": "x"}).want(200)
	d.do(func(q *crmdb.Queries) error { return d.leave(q, engineer, admin, "customer", "approved") })
	d.told()
	d.call(admin, "POST", resolved.path("/comments"), object{"body": "x"}).want(201)
	d.wantTold("a comment after the assignee became a customer", "ticket_commented > "+customer.Email)
	d.call(admin, "POST", resolved.path("/comments"), object{"body": "x", "internal": true}).want(201)
	d.wantTold("an internal comment after that")
	d.patch(admin, resolved, object{"resolution": "y"}).want(200)
	d.wantTold("an edit after that", "ticket_changed > "+customer.Email)
	d.call(engineer, "GET", resolved.path(""), nil).refused(404, "not_found")

	d.exec(`update users set status = 'suspended' where id = $1`, customer.ID)
	d.call(admin, "POST", resolved.path("/comments"), object{"body": "x"}).want(201)
	d.patch(admin, resolved, object{"resolution": "z"}).want(200)
	d.wantTold("what happens to a suspended reporter's ticket")
}

func TestWhoIsReporterAndAssigneeOrActorIsToldOnce(t *testing.T) {
	d := newDesk(t)
	admin, engineer := d.user("admin"), d.engineer()
	own := d.raise(engineer, "My own", "It smokes")
	if !own.of(engineer) {
		t.Fatalf("%+v", own)
	}
	d.wantTold("raising one's own", "ticket_received > "+engineer.Email)
	d.patch(admin, own, object{"title": "Yours"}).want(200)
	d.wantTold("an edit", "ticket_changed > "+engineer.Email)
	d.call(admin, "POST", own.path("/comments"), object{"body": "x", "internal": true}).want(201)
	d.wantTold("an internal comment", "ticket_commented > "+engineer.Email)
	d.call(engineer, "POST", own.path("/accept"), nil).want(200)
	d.wantTold("accepting it")
	d.patch(engineer, own, object{"status": "closed"}).want(200)
	d.wantTold("closing it")
}

func TestWhoIsAwayGetsNothingNewAndHandsOverByChoice(t *testing.T) {
	d := newDesk(t)
	customer, a, b := d.user("customer"), d.engineer(), d.engineer()
	ticket, away, there := d.pair(customer, a, b)
	available := func(yes, handsOver bool) {
		d.do(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, d.now(), away.ID, yes, handsOver)
		})
	}
	available(false, false)
	for range 3 {
		if got := d.raise(customer, "More", "It smokes"); !got.of(there) {
			t.Errorf("assigned to %+v", got.Assignee)
		}
	}
	if !d.read(customer, ticket).of(away) {
		t.Error("lost a ticket without handing over")
	}
	d.told()
	available(false, true)
	if !d.read(customer, ticket).of(there) {
		t.Error("kept a ticket after handing over")
	}
	d.wantTold("handing over", "ticket_assigned > "+there.Email)
	available(true, false)
	if got := d.raise(customer, "Again", "It smokes"); !got.of(away) {
		t.Error("back and idle, but passed over")
	}
}

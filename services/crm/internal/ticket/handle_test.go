package ticket

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

func TestDeclinedTicketGoesToTheNextEngineerAndOnlyStaffReadTheReason(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	ticket, first, second := d.Pair(customer, a, b)
	d.Notices()
	d.Call(first, "POST", ticket.Path("/decline"), crmtest.Object{}).Refused(422, "validation_failed")
	declined := crmtest.Parse[crmtest.Ticket](d.Call(first, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "No time"}).Want(200))
	if !declined.AssignedTo(second) || declined.Status != "open" {
		t.Errorf("declined, it is %+v", declined)
	}
	d.WantNotices("declining", "ticket_assigned > "+second.Email)
	d.wantEventLines(customer, ticket,
		"created by Customer 1 title(>Printer) priority(>normal)",
		"assigned by - assignee(>"+first.Name+")",
		"declined by "+first.Name,
		"assigned by "+first.Name+" assignee("+first.Name+">"+second.Name+")")
	reasons := 0
	for _, e := range d.Events(second, ticket) {
		if strings.Contains(string(e.Changes["why"]), "No time") {
			reasons++
		}
	}
	if reasons == 0 {
		t.Error("staff can't read the reason")
	}
	d.Call(first, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "Again"}).Refused(403, "forbidden")
}

func TestDeclineOfAnAcceptedTicketOpensItAndNotifiesTheReporter(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	ticket, first, second := d.Pair(customer, a, b)
	d.Call(first, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Notices()
	declined := crmtest.Parse[crmtest.Ticket](d.Call(first, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "Ill"}).Want(200))
	if declined.Status != "open" || !declined.AssignedTo(second) {
		t.Errorf("%+v", declined)
	}
	mails := d.Messages()
	var to []string
	for _, l := range mails {
		to = append(to, l.String())
		if slices.Contains(l.To, customer.Email) && strings.Contains(l.Text, "Ill") {
			t.Error("the reporter reads the reason")
		}
	}
	slices.Sort(to)
	if want := []string{"ticket_assigned > " + second.Email, "ticket_changed > " + customer.Email}; !slices.Equal(to, want) {
		t.Errorf("notifies %q", to)
	}
	d.Call(first, "POST", ticket.Path("/accept"), nil).Refused(403, "forbidden")
	d.Call(second, "POST", ticket.Path("/accept"), nil).Want(200)
}

func TestDeclinedTicketWaitsWithoutAnotherEngineer(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, only := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	declined := crmtest.Parse[crmtest.Ticket](d.Call(only, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "No"}).Want(200))
	if declined.Assignee != nil || declined.Status != "open" {
		t.Errorf("%+v", declined)
	}
	next := d.Engineer()
	if !d.Read(customer, ticket).AssignedTo(next) {
		t.Error("the engineer who joined did not get it")
	}
}

func TestAdminAssignsAndUnassignsTickets(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b, admin := d.User("customer"), d.Engineer(), d.Engineer(), d.User("admin")
	ticket, first, second := d.Pair(customer, a, b)
	assign := func(id any) crmtest.Response {
		return d.Call(admin, "POST", ticket.Path("/assign"), crmtest.Object{"engineer_id": id})
	}
	d.Notices()
	if got := crmtest.Parse[crmtest.Ticket](assign(second.ID).Want(200)); !got.AssignedTo(second) || got.Version != 2 {
		t.Errorf("%+v", got)
	}
	d.WantNotices("assigning", "ticket_assigned > "+second.Email, "ticket_unassigned > "+first.Email)
	if got := crmtest.Parse[crmtest.Ticket](assign(second.ID).Want(200)); got.Version != 2 {
		t.Error("the same assignee again moved the version")
	}
	d.WantNotices("the same assignee again")
	if got := crmtest.Parse[crmtest.Ticket](assign(nil).Want(200)); got.Assignee != nil {
		t.Errorf("%+v", got)
	}
	d.WantNotices("unassigning", "ticket_unassigned > "+second.Email)
	third := d.Engineer()
	if got := d.Read(admin, ticket); got.Assignee != nil {
		t.Error("a ticket that an admin unassigned was assigned again")
	}
	for _, wrong := range []any{customer.ID, admin.ID, uuid.Must(uuid.NewV7())} {
		assign(wrong).Refused(422, "validation_failed")
	}
	for wrong, says := range map[any]string{"me": "must be a UUID", strings.Repeat("z", 36): "must be a UUID", 5: "must be a string"} {
		p := assign(wrong).Refused(422, "validation_failed")
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.engineer_id" || p.Errors[0].Message != says {
			t.Errorf("%v: %+v", wrong, p.Errors)
		}
	}
	d.Call(admin, "POST", ticket.Path("/assign"), crmtest.Object{}).Refused(422, "validation_failed")
	d.Notices()
	if got := crmtest.Parse[crmtest.Ticket](d.Call(third, "POST", ticket.Path("/accept"), nil).Want(200)); !got.AssignedTo(third) || got.Status != "in_progress" {
		t.Errorf("an unassigned ticket accepted: %+v", got)
	}
	d.WantNotices("accepting an unassigned ticket", "ticket_changed > "+customer.Email)
	assign(nil).Want(200)
	d.WantNotices("unassigning an accepted ticket", "ticket_unassigned > "+third.Email, "ticket_changed > "+customer.Email)
	d.Patch(admin, ticket, crmtest.Object{"status": "in_progress"}).Refused(409, "invalid_transition")
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	assign(first.ID).Refused(409, "conflict")
	if n := crmtest.Get[int](d.Env, crmtest.WrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
}

func TestReopenedTicketOfAFormerEngineerIsAssignedAgain(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b, admin := d.User("customer"), d.Engineer(), d.Engineer(), d.User("admin")
	ticket, gone, other := d.Pair(customer, a, b)
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Suspend(gone, admin)
	if got := d.Read(customer, ticket); !got.AssignedTo(gone) {
		t.Errorf("a closed ticket got another assignee: %+v", got)
	}
	d.Notices()
	reopened := crmtest.Parse[crmtest.Ticket](d.Patch(customer, ticket, crmtest.Object{"status": "open"}).Want(200))
	if !reopened.AssignedTo(other) || reopened.ClosedAt != nil {
		t.Errorf("%+v", reopened)
	}
	d.WantNotices("reopening", "ticket_assigned > "+other.Email)

	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Suspend(other, admin)
	waits := crmtest.Parse[crmtest.Ticket](d.Patch(customer, ticket, crmtest.Object{"status": "open"}).Want(200))
	if waits.Assignee != nil {
		t.Errorf("%+v", waits)
	}
	if next := d.Engineer(); !d.Read(customer, ticket).AssignedTo(next) {
		t.Error("the reopened ticket doesn't wait for an engineer")
	}
}

func TestAdminCantResumeAResolvedTicketOfAFormerEngineer(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Patch(engineer, ticket, crmtest.Object{"status": "resolved", "resolution": "x"}).Want(200)
	d.Suspend(engineer, admin)
	p := d.Patch(admin, ticket, crmtest.Object{"status": "in_progress"}).Refused(409, "invalid_transition")
	if !strings.Contains(p.Detail, "open") {
		t.Errorf("it doesn't say what to do: %q", p.Detail)
	}
	d.Patch(admin, ticket, crmtest.Object{"status": "open"}).Want(200)
}

func TestTicketsOfASuspendedEngineerAreReassignedAndReportersNotified(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b, admin := d.User("customer"), d.Engineer(), d.Engineer(), d.User("admin")
	ticket, gone, other := d.Pair(customer, a, b)
	d.Call(gone, "POST", ticket.Path("/accept"), nil).Want(200)
	d.Notices()
	d.Suspend(gone, admin)
	after := d.Read(customer, ticket)
	if !after.AssignedTo(other) || after.Status != "open" {
		t.Errorf("%+v", after)
	}
	d.WantNotices("suspending", "ticket_assigned > "+other.Email, "ticket_changed > "+customer.Email)
}

func TestNoNoticeToSuspendedUsersOrToThoseWhoMayNotSeeTheTicket(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	resolved := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", resolved.Path("/accept"), nil).Want(200)
	d.Patch(engineer, resolved, crmtest.Object{"status": "resolved", "resolution": "x"}).Want(200)
	d.Do(func(q *crmdb.Queries) error { return d.Leave(q, engineer, admin, "customer", "approved") })
	d.Notices()
	d.Call(admin, "POST", resolved.Path("/comments"), crmtest.Object{"body": "x"}).Want(201)
	d.WantNotices("a comment after the assignee became a customer", "ticket_commented > "+customer.Email)
	d.Call(admin, "POST", resolved.Path("/comments"), crmtest.Object{"body": "x", "internal": true}).Want(201)
	d.WantNotices("an internal comment after that")
	d.Patch(admin, resolved, crmtest.Object{"resolution": "y"}).Want(200)
	d.WantNotices("an edit after that", "ticket_changed > "+customer.Email)
	d.Call(engineer, "GET", resolved.Path(""), nil).Refused(404, "not_found")

	d.Exec(`update users set status = 'suspended' where id = $1`, customer.ID)
	d.Call(admin, "POST", resolved.Path("/comments"), crmtest.Object{"body": "x"}).Want(201)
	d.Patch(admin, resolved, crmtest.Object{"resolution": "z"}).Want(200)
	d.WantNotices("what happens to a suspended reporter's ticket")
}

func TestReporterWhoIsAssigneeOrActorIsNotifiedOnce(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	admin, engineer := d.User("admin"), d.Engineer()
	own := d.Raise(engineer, "My own", "It smokes")
	d.WantNotices("raising one's own", "ticket_received > "+engineer.Email)
	d.Call(engineer, "POST", own.Path("/accept"), nil).Want(200)
	d.WantNotices("accepting it")
	d.Patch(admin, own, crmtest.Object{"title": "Yours"}).Want(200)
	d.WantNotices("an edit", "ticket_changed > "+engineer.Email)
	d.Call(admin, "POST", own.Path("/comments"), crmtest.Object{"body": "x", "internal": true}).Want(201)
	d.WantNotices("an internal comment", "ticket_commented > "+engineer.Email)
	d.Patch(engineer, own, crmtest.Object{"status": "closed"}).Want(200)
	d.WantNotices("closing it")
}

func TestAwayEngineerIsAssignedNothingAndHandsOverByChoice(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b := d.User("customer"), d.Engineer(), d.Engineer()
	ticket, away, there := d.Pair(customer, a, b)
	available := func(yes, handsOver bool) {
		d.Do(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, away.ID, yes, handsOver)
		})
		d.RunBacklog()
	}
	available(false, false)
	for range 3 {
		if got := d.Raise(customer, "More", "It smokes"); !got.AssignedTo(there) {
			t.Errorf("assigned to %+v", got.Assignee)
		}
	}
	if !d.Read(customer, ticket).AssignedTo(away) {
		t.Error("lost a ticket without handing over")
	}
	d.Notices()
	available(false, true)
	if !d.Read(customer, ticket).AssignedTo(there) {
		t.Error("kept a ticket after handing over")
	}
	d.WantNotices("handing over", "ticket_assigned > "+there.Email)
	available(true, false)
	if got := d.Raise(customer, "Again", "It smokes"); !got.AssignedTo(away) {
		t.Error("back and idle, but passed over")
	}
}

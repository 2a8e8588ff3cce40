package ticket

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
)

type commentBody struct {
	ID        uuid.UUID
	Body      string
	RemovedAt *time.Time `json:"removed_at"`
}

func (d *testEnv) comment(who crmtest.User, t crmtest.Ticket, body string) crmtest.Response {
	d.Helper()
	return d.Call(who, "POST", t.Path("/comments"), crmtest.Object{"body": body})
}

func (d *testEnv) accepted(customer, engineer crmtest.User) crmtest.Ticket {
	d.Helper()
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Call(engineer, "POST", ticket.Path("/accept"), nil).Want(200)
	return ticket
}

func TestBlockedTicketHasItsReasonAndWhomItWaitsFor(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.accepted(customer, engineer)
	d.Patch(engineer, ticket, crmtest.Object{"blocked_reason": "Which model?"}).Refused(422, "validation_failed")
	d.Messages()
	got := crmtest.Parse[crmtest.Ticket](d.Patch(engineer, ticket,
		crmtest.Object{"status": "blocked", "blocked_reason": "Which model?", "waiting_for": "customer"}).Want(200))
	if got.BlockedReason == nil || *got.BlockedReason != "Which model?" || got.WaitingFor == nil || *got.WaitingFor != "customer" {
		t.Errorf("blocked as %+v", got)
	}
	mails := d.Messages()
	if len(mails) != 1 || !strings.Contains(mails[0].Text, "Which model?") || !strings.Contains(mails[0].Text, "Waiting for: the customer") {
		t.Errorf("the mail doesn't say why: %+v", mails)
	}
	events := d.Events(customer, ticket)
	if last := events[len(events)-1]; string(last.Changes["waiting_for"]) == "" || string(last.Changes["blocked_reason"]) == "" {
		t.Errorf("the event doesn't say why: %v", last.Changes)
	}
	resumed := crmtest.Parse[crmtest.Ticket](d.Patch(engineer, ticket, crmtest.Object{"status": "in_progress"}).Want(200))
	if resumed.BlockedReason != nil || resumed.WaitingFor != nil {
		t.Errorf("in progress again, it is %+v", resumed)
	}
	plain := crmtest.Parse[crmtest.Ticket](d.Patch(engineer, ticket, crmtest.Object{"status": "blocked"}).Want(200))
	if plain.BlockedReason != nil || plain.WaitingFor == nil || *plain.WaitingFor != "other" {
		t.Errorf("blocked without a reason as %+v", plain)
	}
}

func TestReportersCommentResumesATicketThatWaitsForTheCustomer(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.accepted(customer, engineer)
	block := func(waitingFor string) {
		d.Patch(engineer, ticket, crmtest.Object{"status": "blocked", "waiting_for": waitingFor}).Want(200)
	}
	block("other")
	d.comment(customer, ticket, "And?").Want(201)
	if got := d.Read(customer, ticket); got.Status != "blocked" {
		t.Errorf("waiting for others, a comment made it %s", got.Status)
	}
	d.Patch(engineer, ticket, crmtest.Object{"waiting_for": "customer"}).Want(200)
	d.comment(engineer, ticket, "Which model?").Want(201)
	if got := d.Read(customer, ticket); got.Status != "blocked" {
		t.Errorf("the engineer's own comment made it %s", got.Status)
	}
	d.Messages()
	d.comment(customer, ticket, "The blue one").Want(201)
	if got := d.Read(customer, ticket); got.Status != "in_progress" || got.WaitingFor != nil {
		t.Errorf("answered, it is %+v", got)
	}
	if mails := d.Messages(); len(mails) != 1 || mails[0].String() != "ticket_commented > "+engineer.Email || !strings.Contains(mails[0].Text, "in progress again") {
		t.Errorf("mails %v", mails)
	}
	d.wantLastEvents(customer, ticket, "commented by "+customer.Name, "status_changed by "+customer.Name+" status(blocked>in_progress)")
}

func (d *testEnv) wantLastEvents(who crmtest.User, t crmtest.Ticket, want ...string) {
	d.Helper()
	got := d.eventLines(who, t)
	if got = got[len(got)-len(want):]; strings.Join(got, "\n") != strings.Join(want, "\n") {
		d.Errorf("the last events are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestReportersCommentReopensAResolvedOrClosedTicket(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.accepted(customer, engineer)
	d.Patch(engineer, ticket, crmtest.Object{"status": "resolved", "resolution": "A new drum"}).Want(200)
	d.comment(admin, ticket, "Well done").Want(201)
	if got := d.Read(customer, ticket); got.Status != "resolved" {
		t.Errorf("an admin's comment made it %s", got.Status)
	}
	d.comment(customer, ticket, "It smokes again").Want(201)
	if got := d.Read(customer, ticket); got.Status != "open" || got.Resolution != nil || !got.AssignedTo(engineer) {
		t.Errorf("reopened as %+v", got)
	}
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Advance(13 * 24 * time.Hour)
	d.comment(customer, ticket, "Once more").Want(201)
	if got := d.Read(customer, ticket); got.Status != "open" {
		t.Errorf("after 13 days it is %s", got.Status)
	}
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Advance(14*24*time.Hour + time.Minute)
	d.comment(customer, ticket, "And again").Refused(409, "conflict")
	d.comment(admin, ticket, "For the record").Want(201)
	if got := d.Read(customer, ticket); got.Status != "closed" {
		t.Errorf("after 14 days it is %s", got.Status)
	}
}

func TestCommentReopensATicketOfAFormerEngineerToAnother(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, a, b, admin := d.User("customer"), d.Engineer(), d.Engineer(), d.User("admin")
	ticket, gone, other := d.Pair(customer, a, b)
	d.Patch(customer, ticket, crmtest.Object{"status": "closed"}).Want(200)
	d.Suspend(gone, admin)
	d.Messages()
	d.comment(customer, ticket, "Still broken").Want(201)
	if got := d.Read(customer, ticket); !got.AssignedTo(other) || got.Status != "open" {
		t.Errorf("reopened as %+v", got)
	}
	d.WantNotices("reopening by a comment", "ticket_assigned > "+other.Email)
}

func TestRemovedCommentStaysInTheListWithoutItsText(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.accepted(customer, engineer)
	const secret = "canarysecret"
	c := crmtest.Parse[commentBody](d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "My password is " + secret}, "Idempotency-Key", "k").Want(201))
	kept := crmtest.Parse[commentBody](d.comment(customer, ticket, "Please hurry").Want(201))
	d.Patch(admin, ticket, crmtest.Object{"title": "Printer 2"}).Want(200)
	path := ticket.Path("/comments/" + c.ID.String())
	for _, who := range []crmtest.User{customer, engineer} {
		d.Call(who, "DELETE", path, nil).Refused(403, "forbidden")
	}
	d.Call(admin, "DELETE", ticket.Path("/comments/"+uuid.NewString()), nil).Refused(404, "not_found")
	other := d.Raise(customer, "Scanner", "It hums")
	d.Call(admin, "DELETE", other.Path("/comments/"+c.ID.String()), nil).Refused(404, "not_found")

	d.Call(admin, "DELETE", path, nil).Want(204)
	d.Call(admin, "DELETE", path, nil).Want(204)
	comments := crmtest.Parse[crmtest.Page[commentBody]](d.Call(customer, "GET", ticket.Path("/comments"), nil).Want(200)).Items
	if len(comments) != 2 || comments[1].ID != c.ID || comments[1].Body != "" || comments[1].RemovedAt == nil || comments[0].Body != "Please hurry" || comments[0].RemovedAt != nil {
		t.Errorf("comments %+v, kept %v", comments, kept.ID)
	}
	for _, table := range []string{"tickets", "ticket_comments", "ticket_events", "outbox", "idempotency_keys", "audit_events"} {
		if n := crmtest.Get[int](d.Env, `select count(*) from `+table+` x where x::text ilike '%canarysecret%'`); n != 0 {
			t.Errorf("%d rows of %s have the text", n, table)
		}
	}
	again := crmtest.Parse[commentBody](d.Call(customer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "My password is " + secret}, "Idempotency-Key", "k").Want(201))
	if again.ID != c.ID || again.Body != "" || again.RemovedAt == nil {
		t.Errorf("the answer to the repeated request: %+v", again)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from outbox where data->>'body' = 'Please hurry'`); n != 1 {
		t.Errorf("control: the other comment's notice: %d", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from audit_events where kind = 'comment_removed' and actor_id = $1 and object_id = $2`, admin.ID, c.ID); n != 1 {
		t.Errorf("%d entries in the audit log", n)
	}
	d.wantLastEvents(customer, ticket, "comment_removed by "+admin.Name)
}

func TestMailOfACommentQuotesTheMessageBefore(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, admin := d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.accepted(customer, engineer)
	mail := func() string {
		d.Helper()
		mails := d.Messages()
		if len(mails) != 1 {
			d.Fatalf("%d mails", len(mails))
		}
		return mails[0].Text
	}
	d.Messages()
	at := crmtest.Get[time.Time](d.Env, `select created_at from tickets where id = $1`, ticket.ID).UTC().Format("2 January 2006 at 15:04 UTC")
	d.comment(engineer, ticket, "Is it on fire?").Want(201)
	if got := mail(); !strings.Contains(got, "Before that, on "+at+", "+customer.Name+" wrote:\n> It smokes\n") {
		t.Errorf("the first comment doesn't quote the description:\n%s", got)
	}
	d.Call(admin, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Third one", "internal": true}).Want(201)
	if got := mail(); !strings.Contains(got, engineer.Name+" wrote:\n> Is it on fire?\n") {
		t.Errorf("an internal comment doesn't quote the public one before it:\n%s", got)
	}
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "I know", "internal": true}).Want(201)
	d.Messages()
	d.comment(engineer, ticket, "I come at noon").Want(201)
	if got := mail(); strings.Contains(got, "I know") || !strings.Contains(got, engineer.Name+" wrote:\n> Is it on fire?\n") {
		t.Errorf("a public comment quotes an internal one, or nothing:\n%s", got)
	}
	d.Call(admin, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Good", "internal": true}).Want(201)
	d.Messages()
	removed := crmtest.Parse[commentBody](d.comment(engineer, ticket, "canarysecret").Want(201))
	d.Call(admin, "DELETE", ticket.Path("/comments/"+removed.ID.String()), nil).Want(204)
	d.Messages()
	d.comment(customer, ticket, "Thank you").Want(201)
	if got := mail(); strings.Contains(got, "canarysecret") || !strings.Contains(got, engineer.Name+" wrote:\n> I come at noon\n") {
		t.Errorf("a removed comment is quoted, or nothing:\n%s", got)
	}
}

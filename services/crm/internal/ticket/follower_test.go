package ticket

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
)

type followerBody struct {
	ID      uuid.UUID
	Name    string
	Email   string
	AddedBy struct{ ID uuid.UUID } `json:"added_by"`
}

func (d *testEnv) followers(who crmtest.User, t crmtest.Ticket) []followerBody {
	d.Helper()
	return crmtest.Parse[crmtest.Page[followerBody]](d.Call(who, "GET", t.Path("/followers"), nil).Want(200)).Items
}

func TestFollowerIsMailedWhatTheReporterIsMailed(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.accepted(customer, engineer)
	follow := func(email string) followerBody {
		return crmtest.Parse[followerBody](d.Call(engineer, "POST", ticket.Path("/followers"), crmtest.Object{"email": email, "name": "Boss"}).Want(201))
	}
	boss := follow("Boss@Example.com")
	if again := follow("boss@example.com"); again.ID != boss.ID || boss.Name != "Boss" || boss.AddedBy.ID != engineer.ID {
		t.Errorf("added %+v, then %+v", boss, again)
	}
	colleague := d.Engineer()
	follow(colleague.Email)
	if list := d.followers(engineer, ticket); len(list) != 2 || list[0].Email != "boss@example.com" {
		t.Errorf("followers %+v", list)
	}
	d.Messages()
	d.comment(customer, ticket, "And?").Want(201)
	d.WantNotices("a customer's comment", "ticket_commented > "+engineer.Email, "ticket_commented > boss@example.com", "ticket_commented > "+colleague.Email)
	d.comment(engineer, ticket, "Done soon.").Want(201)
	d.WantNotices("an engineer's comment", "ticket_commented > "+customer.Email, "ticket_commented > boss@example.com", "ticket_commented > "+colleague.Email)
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "secretword", "internal": true}).Want(201)
	d.WantNotices("an internal comment")
	d.Patch(engineer, ticket, crmtest.Object{"status": "resolved", "resolution": "Fuse"}).Want(200)
	mails := d.Messages()
	if len(mails) != 3 {
		t.Errorf("resolved: %v", mails)
	}
	for _, m := range mails {
		if strings.Contains(m.Text, "secretword") {
			t.Errorf("the internal comment is mailed to %v", m.To)
		}
	}
	d.Call(engineer, "DELETE", ticket.Path("/followers/"+boss.ID.String()), nil).Want(204)
	d.Call(engineer, "DELETE", ticket.Path("/followers/"+boss.ID.String()), nil).Refused(404, "not_found")
	d.comment(customer, ticket, "Thanks").Want(201)
	if got := d.Notices(); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "boss") }) {
		t.Errorf("a former follower is mailed: %v", got)
	}
	kinds := []string{}
	for _, e := range d.Events(engineer, ticket) {
		if strings.HasPrefix(e.Kind, "follower_") {
			kinds = append(kinds, e.Kind)
		}
	}
	if strings.Join(kinds, " ") != "follower_added follower_added follower_removed" {
		t.Errorf("events %v", kinds)
	}
	for _, e := range d.Events(customer, ticket) {
		if strings.HasPrefix(e.Kind, "follower_") {
			t.Errorf("the customer sees %s", e.Kind)
		}
	}
}

func TestFollowerReadsWhatTheReporterReadsAndCommentsUntilRemoved(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, follower, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	ticket := d.accepted(customer, engineer)
	d.comment(engineer, ticket, "Which tray?").Want(201)
	d.Call(engineer, "POST", ticket.Path("/comments"), crmtest.Object{"body": "secretword", "internal": true}).Want(201)
	missing := func(what string) {
		t.Helper()
		for _, path := range []string{"", "/comments", "/events"} {
			d.Call(follower, "GET", ticket.Path(path), nil).Refused(404, "not_found")
		}
		d.comment(follower, ticket, what).Refused(404, "not_found")
		d.Patch(follower, ticket, crmtest.Object{"title": what}).Refused(404, "not_found")
	}
	missing("before")
	d.Call(engineer, "POST", ticket.Path("/followers"), crmtest.Object{"email": follower.Email}).Want(201)
	for _, path := range []string{"", "/comments", "/events"} {
		theirs, reporters := d.Call(follower, "GET", ticket.Path(path), nil).Want(200), d.Call(customer, "GET", ticket.Path(path), nil).Want(200)
		if string(theirs.Body) != string(reporters.Body) || strings.Contains(string(theirs.Body), "secretword") {
			t.Errorf("%s: the follower reads %s, the reporter %s", path, theirs.Body, reporters.Body)
		}
	}
	d.comment(follower, ticket, "The second one.").Want(201)
	d.Call(follower, "POST", ticket.Path("/comments"), crmtest.Object{"body": "Quietly", "internal": true}).Refused(403, "forbidden")
	for _, edit := range []crmtest.Object{{"title": "Other"}, {"status": "closed"}, {"priority": "urgent"}} {
		d.Patch(follower, ticket, edit).Refused(403, "forbidden")
	}
	d.Call(follower, "GET", ticket.Path("/followers"), nil).Refused(403, "forbidden")
	// Somebody may have registered with an address that is not theirs.
	d.NeedsVerified = true
	missing("not verified")
	d.Exec(`update users set email_verified_at = now() where id = $1`, follower.ID)
	d.Call(follower, "GET", ticket.Path(""), nil).Want(200)
	d.Call(customer, "GET", ticket.Path(""), nil).Want(200)
	d.Call(engineer, "DELETE", ticket.Path("/followers/"+follower.ID.String()), nil).Want(204)
	missing("removed")
}

func TestAddingAFollowerAgainAnswersWhoAddedThemFirst(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, follower, engineer, admin := d.User("customer"), d.User("customer"), d.Engineer(), d.User("admin")
	ticket := d.accepted(customer, engineer)
	add := func(who crmtest.User) string {
		return string(d.Call(who, "POST", ticket.Path("/followers"), crmtest.Object{"email": follower.Email}).Want(201).Body)
	}
	if first, again := add(engineer), add(admin); first != again || !strings.Contains(first, engineer.ID.String()) {
		t.Errorf("first %s, then %s", first, again)
	}
}

func TestFollowerMustBeSomebodyElseWithAnAccountInUse(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer, suspended := d.User("customer"), d.Engineer(), d.User("customer")
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.Exec(`update users set status = 'suspended' where id = $1`, suspended.ID)
	for _, email := range []string{customer.Email, suspended.Email, "nobody", "a@b@c.test"} {
		d.Call(engineer, "POST", ticket.Path("/followers"), crmtest.Object{"email": email}).Refused(422, "validation_failed")
	}
	d.Exec(`insert into users (id, name, email, search, role, status, created_at, updated_at)
		select gen_random_uuid(), 'F', 'f' || n || '@example.com', '', 'customer', 'approved', now(), now() from generate_series(1, $1::int) n`, MaxFollowers)
	d.Exec(`insert into ticket_followers select $1, id, $2, now() from users where name = 'F'`, ticket.ID, engineer.ID)
	d.Call(engineer, "POST", ticket.Path("/followers"), crmtest.Object{"email": "one@more.test"}).Refused(409, "conflict")
	if n := len(d.followers(engineer, ticket)); n != 20 {
		t.Errorf("a page has %d", n)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from users where email = 'one@more.test'`); n != 0 {
		t.Error("the refused follower has an account")
	}
}

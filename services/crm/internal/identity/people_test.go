package identity

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/assignment"
)

// notices counts the mails of a kind about a user; event narrows account_changed.
func (env *testEnv) notices(kind, event, userID string) int {
	env.t.Helper()
	return env.count("select count(*) from outbox where kind = $1 and reference = $2 and ($3 = '' or data->>'event' = $3)", kind, userID, event)
}

func (env *testEnv) invite(role Role) (id, email string) {
	env.t.Helper()
	email = uuid.NewString() + "@fixdesk.test"
	a := env.admin.call("POST", "/v1/users", map[string]any{"name": "Ann Lee", "email": email, "role": role}).want(env.t, 201)
	if got := a.header.Get("Location"); got != "/v1/users/"+a.str("id") {
		env.t.Errorf("Location is %q", got)
	}
	return a.str("id"), email
}

func TestInvitedPersonSetsAPasswordByTheMailedToken(t *testing.T) {
	env := newTestEnv(t)
	for _, role := range []Role{RoleCustomer, RoleEngineer, RoleAdmin} {
		id, email := env.invite(role)
		env.tryLogin(email, goodPassword).want(t, 401, "invalid_credentials")
		token := env.tokenIn("invitation", id)
		env.reset(token, goodPassword).want(t, 204)
		env.reset(token, "another lamp in the hallway").want(t, 401, "invalid_token")
		c := env.login(email, goodPassword)
		if a := c.call("GET", "/v1/me", nil).want(t, 200); a.str("role") != string(role) || a.str("status") != "approved" || a.body["email_verified_at"] == nil {
			t.Error(a.text)
		}
		if n := env.notices("account_changed", "", id); n != 0 {
			t.Errorf("%d mails about a change to a person who set a first password", n)
		}
		if n := env.count("select count(*) from engineers where user_id = $1", id); (n == 1) != (role == RoleEngineer) {
			t.Errorf("%s: %d rows of engineers", role, n)
		}
	}
}

func TestInvalidInvitationIsRefusedAndItsTokenExpires(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for name, refused := range map[string]struct {
		email, person string
		status        int
		code          string
	}{
		"taken":                {c.email, "Ann", 409, "email_taken"},
		"taken in other case":  {strings.ToUpper(c.email), "Ann", 409, "email_taken"},
		"no address":           {"nobody", "Ann", 422, "validation_failed"},
		"a link for a name":    {"ann@fixdesk.test", "evil.example/win", 422, "validation_failed"},
		"an address in a name": {"ann@fixdesk.test", "Ann ann@evil.example", 422, "validation_failed"},
	} {
		a := env.admin.call("POST", "/v1/users", map[string]any{"name": refused.person, "email": refused.email, "role": "engineer"})
		if a.status != refused.status || a.str("code") != refused.code {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	id, email := env.invite(RoleEngineer)
	token := env.tokenIn("invitation", id)
	env.clock.advance(7*24*time.Hour + time.Second)
	env.reset(token, goodPassword).want(t, 401, "invalid_token")
	env.forgot(email).want(t, 202)
	env.reset(env.mailedToken(id), goodPassword).want(t, 204)
}

func TestNewAddressNotifiesBothAndVoidsTokensOfTheOldOne(t *testing.T) {
	env := newTestEnv(t)
	env.service.SendVerification = true
	c, other := env.approved(RoleCustomer), env.approved(RoleCustomer)
	env.forgot(c.email).want(t, 202)
	reset, verification := env.mailedToken(c.id), env.tokenIn("email_verification", c.id)
	env.exec("update users set email_verified_at = now() where id = $1", c.id)

	path := "/v1/users/" + c.id
	env.admin.call("PATCH", path, map[string]any{"email": strings.ToUpper(other.email)}).want(t, 409, "email_taken")
	env.admin.call("PATCH", path, map[string]any{"email": "nobody"}).want(t, 422, "validation_failed")
	a := env.admin.call("PATCH", path, map[string]any{"email": "New." + strings.ToUpper(c.email)}).want(t, 200)
	moved := "new." + c.email
	if a.str("email") != moved || a.body["email_verified_at"] != nil {
		t.Error(a.text)
	}
	for _, to := range []string{c.email, moved} {
		if n := env.count("select count(*) from outbox where kind = 'account_changed' and data->>'event' = 'address_changed' and data->'to'->>'email' = $1", to); n != 1 {
			t.Errorf("%d mails to %s", n, to)
		}
	}
	env.reset(reset, goodPassword).want(t, 401, "invalid_token")
	env.verify(verification).want(t, 401, "invalid_token")
	env.tryLogin(c.email, goodPassword).want(t, 401, "invalid_credentials")
	env.login(moved, goodPassword)
	env.verify(env.tokenIn("email_verification", c.id)).want(t, 204)
	env.admin.call("PATCH", path, map[string]any{"email": moved}).want(t, 200) // no change: verified still
	if !env.isVerified(c.id) {
		t.Error("the same address again is not verified any more")
	}
}

func TestPersonIsNotifiedOfEachChangeOfTheirAccountOnce(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	status := func(body map[string]any) { env.admin.call("PATCH", "/v1/users/"+c.id, body).want(t, 200) }
	for step, want := range map[string]int{"suspended": 0, "approved": 0, "rejected": 0, "password_changed": 0} { // the control
		if n := env.notices("account_changed", step, c.id); n != want {
			t.Errorf("%d mails that say %s before it happened", n, step)
		}
	}
	status(map[string]any{"status": "suspended", "reason": "You left."})
	status(map[string]any{"status": "suspended"})
	status(map[string]any{"status": "approved"})
	status(map[string]any{"status": "rejected", "reason": "A double account."})
	status(map[string]any{"status": "approved"})
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "approved", "reason": "No reason."}).want(t, 422, "validation_failed")
	c = env.login(c.email, goodPassword)
	c.call("POST", "/v1/me/password", map[string]any{"current_password": goodPassword, "new_password": "another lamp in the hallway"}).want(t, 204)
	env.forgot(c.email).want(t, 202)
	env.reset(env.mailedToken(c.id), goodPassword).want(t, 204)
	for event, want := range map[string]int{"suspended": 1, "approved": 2, "rejected": 1, "password_changed": 2} {
		if n := env.notices("account_changed", event, c.id); n != want {
			t.Errorf("%d mails that say %s, want %d", n, event, want)
		}
	}
	if n := env.count("select count(*) from outbox where data->>'reason' = 'You left.'"); n != 1 {
		t.Errorf("the reason is in %d mails", n)
	}
	// An applicant gets the answer to the registration, and no second mail.
	id, _ := env.register(RoleEngineer)
	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"status": "approved"}).want(t, 200)
	if a, b := env.notices("registration_decided", "", id), env.notices("account_changed", "", id); a != 1 || b != 0 {
		t.Errorf("%d answers to a registration and %d mails about a change", a, b)
	}
}

func TestAdminSetsWhetherAnEngineerIsAvailable(t *testing.T) {
	env := newTestEnv(t)
	e, c := env.approved(RoleEngineer), env.approved(RoleCustomer)
	for _, available := range []bool{false, true} {
		env.admin.call("PATCH", "/v1/users/"+e.id, map[string]any{"available": available}).want(t, 200)
		if a := e.call("GET", "/v1/me", nil).want(t, 200); a.body["available"] != available {
			t.Errorf("set %v: %s", available, a.text)
		}
	}
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"available": true}).want(t, 422, "validation_failed")
}

func TestAdminListsAndEndsTheSessionsOfAUser(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	again := env.login(c.email, goodPassword)
	path := "/v1/users/" + c.id + "/sessions"
	if n := len(env.admin.call("GET", path, nil).want(t, 200).items(t)); n != 2 {
		t.Errorf("%d sessions", n)
	}
	env.admin.call("DELETE", path, nil).want(t, 204)
	for _, one := range []*caller{c, again} {
		one.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
		env.refresh(one.refreshWith).want(t, 401, "invalid_token")
	}
	if n := len(env.admin.call("GET", path, nil).want(t, 200).items(t)); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	env.admin.call("GET", "/v1/me", nil).want(t, 200) // the control: sessions of others remain valid
	for _, method := range []string{"GET", "DELETE"} {
		env.admin.call(method, "/v1/users/"+uuid.NewString()+"/sessions", nil).want(t, 404)
	}
}

// personWithTraces is a person with data in every table.
func (env *testEnv) personWithTraces() *caller {
	env.t.Helper()
	env.service.SendVerification = true
	c := env.approved(RoleCustomer)
	env.exec("update users set name = 'Zebedee Quux', search = 'zebedee quux' where id = $1", c.id)
	c.call("PATCH", "/v1/me", map[string]any{"name": "Zebedee Quuux"}).want(env.t, 200)
	env.forgot(c.email).want(env.t, 202)
	env.tryLogin(c.email, "not the password", "X-Forwarded-For", "192.0.2.77").want(env.t, 401)
	secret := c.tryKey(map[string]any{"name": "Key of Zebedee", "networks": []string{"192.0.2.77/32"}}).want(env.t, 201).str("secret")
	env.call("GET", "/v1/me", secret, nil).want(env.t, 403)
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "suspended", "reason": "Zebedee asked."}).want(env.t, 200)
	env.exec("insert into tickets (id, title, description, reporter_id, created_at, updated_at) values ($1, 'Broken lamp', 'It is dark', $2, now(), now())", newID(), c.id)
	// Mails of the account, and one from before there was one.
	for _, sender := range []any{c.id, c.id, nil} {
		env.exec("insert into inbound_mails (id, received_at, processed_at, outcome, sender_id, from_name, from_email, content) values ($1, now(), now(), 'ignored', $2, 'Zebedee', $3, 'Zebedee is on holiday.')",
			newID(), sender, strings.ToUpper(c.email))
	}
	return c
}

func TestErasureRemovesPersonalDataAndKeepsTickets(t *testing.T) {
	env := newTestEnv(t)
	c := env.personWithTraces()
	traces := []string{"zebedee", strings.Split(c.email, "@")[0], "192.0.2.77"}
	found := func(trace string) int {
		return env.count("select count(*) from ("+allTexts(env)+") t where lower(t.row) like '%' || $1 || '%'", trace)
	}
	for _, trace := range traces {
		if found(trace) == 0 { // the control: the search finds existing data
			t.Errorf("%q is nowhere before the erasure", trace)
		}
	}
	events := env.count("select count(*) from audit_events")
	env.admin.call("DELETE", "/v1/users/"+c.id, nil).want(t, 204)
	for _, trace := range traces {
		if n := found(trace); n != 0 {
			t.Errorf("%q is in %d rows after the erasure", trace, n)
		}
	}
	if n := env.count("select count(*) from inbound_erasures"); n != 3 {
		t.Errorf("%d mails will be deleted at the notification service", n)
	}
	if n := env.count("select count(*) from mail_erasures where email_hash = sha256(convert_to($1, 'UTF8'))", c.email); n != 1 {
		t.Errorf("%d erasures of mails to the person", n)
	}
	if n := env.count("select count(*) from audit_events"); n != events+1 {
		t.Errorf("%d audit events, there were %d", n, events)
	}
	if n := env.count("select count(*) from tickets t join users u on u.id = t.reporter_id where u.name = 'Erased user' and t.title = 'Broken lamp'"); n != 1 {
		t.Errorf("%d tickets by the erased user", n)
	}
	c.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	env.refresh(c.refreshWith).want(t, 401, "invalid_token")
	env.tryLogin(c.email, goodPassword).want(t, 401, "invalid_credentials")
	for _, path := range []string{"", "/sessions", "/export"} {
		env.admin.call("GET", "/v1/users/"+c.id+path, nil).want(t, 404, "not_found")
	}
	env.admin.call("DELETE", "/v1/users/"+c.id, nil).want(t, 404, "not_found")
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "approved"}).want(t, 404, "not_found")
	for _, item := range env.admin.call("GET", "/v1/users", nil).want(t, 200).items(t) {
		if item["id"] == c.id {
			t.Error("an erased user is in the list")
		}
	}
	env.call("POST", "/v1/auth/register", "", map[string]any{"name": "New", "email": c.email, "password": goodPassword}).want(t, 201)
}

// allTexts is a query that returns each row of each table as text.
func allTexts(env *testEnv) string {
	env.t.Helper()
	var query string
	if err := env.pool.QueryRow(context.Background(), `
		select string_agg(format('select t::text as row from %I t', c.relname), ' union all ')
		from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`).Scan(&query); err != nil {
		env.t.Fatal(err)
	}
	return query
}

func TestLastAdminCannotBeErased(t *testing.T) {
	env := newTestEnv(t)
	env.admin.call("DELETE", "/v1/users/"+env.admin.id, nil).want(t, 409, "last_admin")
	others := []*caller{env.approved(RoleAdmin), env.approved(RoleAdmin)}
	all := append([]*caller{env.admin}, others...)
	won := 0
	for _, a := range concurrently(len(all), func(i int) answer {
		return all[i].call("DELETE", "/v1/users/"+all[(i+1)%len(all)].id, nil)
	}) {
		if a.status == 204 {
			won++
		}
	}
	if left := env.count("select count(*) from users where role = 'admin' and status = 'approved'"); left < 1 || left != 3-won {
		t.Errorf("%d erased, %d admins left", won, left)
	}
}

func TestTicketsOfAnErasedEngineerGoToOthers(t *testing.T) {
	env := newTestEnv(t)
	leaving, staying, c := env.approved(RoleEngineer), env.approved(RoleEngineer), env.approved(RoleCustomer)
	ticket := newID()
	env.exec("insert into tickets (id, title, description, reporter_id, assignee_id, created_at, updated_at) values ($1, 'Broken', 'It is', $2, $3, now(), now())", ticket, c.id, leaving.id)
	env.admin.call("DELETE", "/v1/users/"+leaving.id, nil).want(t, 204)
	backlog := assignment.NewBacklog(env.pool, env.service.now, func() {})
	for again := true; again; {
		var err error
		if again, err = backlog.RunOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := env.count("select count(*) from tickets where id = $1 and assignee_id = $2", ticket, staying.id); n != 1 {
		t.Error("the ticket was not handed over")
	}
	if n := env.count("select count(*) from outbox where data->'to'->>'id' = $1 and kind like 'ticket_%'", leaving.id); n != 0 {
		t.Errorf("%d mails to the erased engineer", n)
	}
}

func TestExportHasExactlyTheStoredDataOfThePerson(t *testing.T) {
	env := newTestEnv(t)
	c, other := env.personWithTraces(), env.approved(RoleCustomer)
	env.exec("insert into tickets (id, title, description, reporter_id, created_at, updated_at) select gen_random_uuid(), 'Ticket ' || i, 'Text', $1, now() + i * interval '1 s', now() from generate_series(1, 450) i", c.id)
	env.exec("insert into ticket_comments (id, ticket_id, author_id, body, created_at) select gen_random_uuid(), (select id from tickets limit 1), $1, 'Comment ' || i, now() from generate_series(1, 200) i", c.id)
	env.exec("insert into ticket_followers (ticket_id, user_id, added_by, created_at) select id, $1, $1, now() from tickets limit 250", c.id)
	env.admin.call("PATCH", "/v1/users/"+c.id, map[string]any{"status": "approved"}).want(t, 200)
	c = env.login(c.email, goodPassword)
	c.key(ScopeTicketsRead)
	a := c.call("GET", "/v1/me/export", nil).want(t, 200)
	if a.header.Get("Content-Type") != "application/json" {
		t.Error(a.header)
	}
	profile, _ := a.body["profile"].(map[string]any)
	if profile["email"] != c.email || profile["name"] != "Zebedee Quuux" {
		t.Errorf("profile %v", profile)
	}
	for part, want := range map[string]string{
		"tickets":      "select count(*) from tickets where reporter_id = $1",
		"comments":     "select count(*) from ticket_comments where author_id = $1",
		"sessions":     "select count(*) from sessions where user_id = $1",
		"api_keys":     "select count(*) from api_keys where user_id = $1",
		"mails":        "select count(*) from inbound_mails where sender_id = $1",
		"follows":      "select count(*) from ticket_followers where user_id = $1",
		"audit_events": "select count(*) from audit_events where actor_id = $1 or object_id = $1",
	} {
		items, _ := a.body[part].([]any)
		if n := env.count(want, c.id); len(items) != n || n < 2 {
			t.Errorf("%d %s in the export, %d stored", len(items), part, n)
		}
	}
	if strings.Contains(a.text, "argon2id") || strings.Contains(a.text, other.email) {
		t.Error("the export has a hash, or another person")
	}
	env.admin.call("GET", "/v1/users/"+c.id+"/export", nil).want(t, 200)
	env.admin.call("GET", "/v1/users/"+uuid.NewString()+"/export", nil).want(t, 404)
	if n := env.count("select count(*) from audit_events where kind = 'user_exported' and object_id = $1", c.id); n != 2 {
		t.Errorf("%d exports in the audit", n)
	}
}

package identity

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestAdminChangesAUserUnderIfMatch(t *testing.T) {
	env := newTestEnv(t)
	id, _ := env.register(RoleCustomer)
	path := "/v1/users/" + id
	got := env.admin.call("GET", path, nil).want(t, 200)
	if !strings.HasPrefix(got.header.Get("ETag"), `"1-`) {
		t.Errorf("ETag %s", got.header.Get("ETag"))
	}
	changed := env.admin.call("PATCH", path, map[string]any{"name": "Ada", "role": "engineer"}, "If-Match", `"1"`).want(t, 200)
	if changed.str("name") != "Ada" || changed.str("role") != "engineer" || !strings.HasPrefix(changed.header.Get("ETag"), `"2-`) || changed.str("updated_at") == got.str("updated_at") {
		t.Errorf("changed: %s", changed.text)
	}
	env.admin.call("PATCH", path, map[string]any{"name": "Eve"}, "If-Match", `"1"`).want(t, 412, "version_mismatch")
	env.admin.call("PATCH", path, map[string]any{"name": "Eve"}, "If-Match", `W/"2"`).want(t, 412, "version_mismatch")
	env.admin.call("PATCH", path, map[string]any{"name": "Eve"}, "If-Match", `nonsense`).want(t, 422, "validation_failed")
	same := env.admin.call("PATCH", path, map[string]any{"name": "Ada"}, "If-Match", "*").want(t, 200)
	if !strings.HasPrefix(same.header.Get("ETag"), `"2-`) {
		t.Error("a change that changes nothing made a version")
	}
	again := env.admin.call("GET", path, nil).want(t, 200)
	if again.text != changed.text {
		t.Errorf("read back:\n%s\n%s", again.text, changed.text)
	}
}

func TestInvalidChangesOfAUserAreRefused(t *testing.T) {
	env := newTestEnv(t)
	customer, _ := env.register(RoleCustomer)
	engineer, _ := env.register(RoleEngineer)
	env.admin.call("POST", "/v1/registrations/"+customer+"/approve", nil).want(t, 404, "not_found")
	for name, c := range map[string]struct {
		id     string
		body   any
		status int
		code   string
	}{
		"unknown user":      {uuid.NewString(), map[string]any{"name": "Ada"}, 404, "not_found"},
		"no id":             {"1%20or%201=1", map[string]any{"name": "Ada"}, 422, "validation_failed"},
		"back to pending":   {customer, map[string]any{"status": "pending"}, 409, "invalid_transition"},
		"suspend a pending": {engineer, map[string]any{"status": "suspended"}, 409, "invalid_transition"},
		"last admin's role": {env.admin.id, map[string]any{"role": "customer"}, 409, "last_admin"},
		"last admin out":    {env.admin.id, map[string]any{"status": "suspended"}, 409, "last_admin"},
		"last admin no":     {env.admin.id, map[string]any{"status": "rejected"}, 409, "last_admin"},
		"unknown status":    {customer, map[string]any{"status": "owner"}, 422, "validation_failed"},
		"unknown field":     {customer, map[string]any{"id": "x"}, 422, "validation_failed"},
		"password":          {customer, map[string]any{"password_hash": "x"}, 422, "validation_failed"},
		"null":              {customer, `{"role":null}`, 422, "validation_failed"},
		"twice":             {customer, `{"role":"customer","role":"admin"}`, 400, "malformed_json"},
		"wrong case":        {customer, `{"Role":"admin"}`, 422, "validation_failed"},
		"bad name":          {customer, map[string]any{"name": "a\nb"}, 422, "validation_failed"},
	} {
		a := env.admin.call("PATCH", "/v1/users/"+c.id, c.body)
		if a.status != c.status || a.str("code") != c.code {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	if env.count("select count(*) from users where version <> 1") != 0 {
		t.Error("something changed")
	}
	env.admin.call("GET", "/v1/me", nil).want(t, 200)
}

func TestOwnRoleAndStatusCantBeChanged(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for _, body := range []string{
		`{"role":"admin"}`, `{"status":"approved"}`, `{"id":"` + env.admin.id + `"}`, `{"email":"root@fixdesk.test"}`, `{"version":9}`, `{"created_at":"2020-01-01T00:00:00Z"}`,
	} {
		c.call("PATCH", "/v1/me", body).want(t, 422, "validation_failed")
	}
	c.call("PATCH", "/v1/me", `{"available":true}`).want(t, 422, "validation_failed")
	c.call("PATCH", "/v1/me", `{"name":"x","hand_over":true}`).want(t, 422, "validation_failed")
	if me := c.call("GET", "/v1/me", nil).want(t, 200); me.str("role") != "customer" || me.str("name") != "Test User" || strings.Contains(me.text, "available") {
		t.Errorf("me: %s", me.text)
	}
}

func TestUsersAreListedFilteredAndSearchedLiterally(t *testing.T) {
	env := newTestEnv(t)
	ctx := context.Background()
	names := []string{"Zoë Müller", "100% Real", "under_score", `back\slash`, `O'Brien "Bob"`, "ZOË again", "a & b | !c"}
	for i, name := range names {
		role := []Role{RoleCustomer, RoleEngineer}[i%2]
		if _, _, err := env.service.Register(ctx, NewUser{Name: name, Email: fmt.Sprintf("user-%d@fixdesk.test", i), Password: goodPassword, Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	search := func(q string) (found []string) {
		for _, u := range env.admin.call("GET", "/v1/users?q="+url.QueryEscape(q), nil).want(t, 200).items(t) {
			found = append(found, u["name"].(string))
		}
		return found
	}
	for q, want := range map[string]string{
		"zoë": "ZOË again,Zoë Müller", "MÜLLER": "Zoë Müller", "%": "100% Real", "_": "under_score", `\`: `back\slash`,
		"'": `O'Brien "Bob"`, `"`: `O'Brien "Bob"`, "& b |": "a & b | !c", "user-3@": `back\slash`, "USER-3@FIXDESK": `back\slash`,
		"nothing like it": "", "'; drop table users; --": "", " zoë\n": "ZOË again,Zoë Müller",
	} {
		if got := strings.Join(search(q), ","); got != want {
			t.Errorf("q=%q found %q, want %q", q, got, want)
		}
	}
	env.insertUser(t, "ann@xn--bcher-kva.example", RoleCustomer, StatusApproved)
	for q, want := range map[string]int{"ann@bücher.example": 1, "@BÜCHER.example": 1, "@bücher": 0, "ann@": 1, "bob@bücher.example": 0} {
		if n := len(search(q)); n != want {
			t.Errorf("q=%q found %d, want %d", q, n, want)
		}
	}
	if n := len(env.admin.call("GET", "/v1/users?role=engineer&status=pending", nil).want(t, 200).items(t)); n != 3 {
		t.Errorf("%d pending engineers", n)
	}
	if a := env.admin.call("GET", "/v1/users?role=engineer&status=approved", nil).want(t, 200); !strings.Contains(a.text, `"items":[]`) {
		t.Errorf("an empty list: %s", a.text)
	}
	env.admin.call("GET", "/v1/users?role=owner", nil).want(t, 422)
	env.admin.call("GET", "/v1/users?limit=0", nil).want(t, 422)
	env.admin.call("GET", "/v1/users?limit=101", nil).want(t, 422)
	env.admin.call("GET", "/v1/users?nme=x", nil).want(t, 422)
}

func TestPagesAreCompleteWhileUsersRegister(t *testing.T) {
	env := newTestEnv(t)
	for i := range 45 {
		env.insertUser(t, fmt.Sprintf("user-%d@fixdesk.test", i), RoleCustomer, StatusApproved)
	}
	seen := map[string]bool{}
	cursor, pages := "", 0
	for {
		a := env.admin.call("GET", "/v1/users?limit=10&role=customer&cursor="+cursor, nil)
		if cursor == "" {
			a = env.admin.call("GET", "/v1/users?limit=10&role=customer", nil)
		}
		for _, u := range a.want(t, 200).items(t) {
			if seen[u["id"].(string)] {
				t.Errorf("%s twice", u["email"])
			}
			seen[u["id"].(string)] = true
		}
		pages++
		env.insertUser(t, fmt.Sprintf("late-%d@fixdesk.test", pages), RoleCustomer, StatusApproved)
		if cursor = a.str("next_cursor"); cursor == "" {
			break
		}
	}
	if len(seen) != 45 || pages != 5 {
		t.Errorf("%d users on %d pages", len(seen), pages)
	}
}

func TestForgedCursorsAreRefused(t *testing.T) {
	env := newTestEnv(t)
	env.register(RoleCustomer)
	env.register(RoleEngineer)
	env.register(RoleEngineer)
	users := env.admin.call("GET", "/v1/users?limit=1", nil).want(t, 200).str("next_cursor")
	registrations := env.admin.call("GET", "/v1/registrations?limit=1", nil).want(t, 200).str("next_cursor")
	if users == "" || registrations == "" {
		t.Fatal("no cursors")
	}
	for _, path := range []string{
		"/v1/users?cursor=x", "/v1/users?cursor=" + users[:len(users)-2], "/v1/users?cursor=" + registrations, "/v1/registrations?cursor=" + users,
		"/v1/users?role=admin&cursor=" + users, "/v1/audit?cursor=" + users, "/v1/me/sessions?cursor=" + users,
		"/v1/users?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`12345678{"At":"0000-01-01T00:00:00Z"}`)),
	} {
		env.admin.call("GET", path, nil).want(t, 400, "invalid_cursor")
	}
}

func TestAuditRecordsChangesAndIsAppendOnly(t *testing.T) {
	env := newTestEnv(t)
	id, email := env.register(RoleEngineer)
	env.tryLogin(email, "not the password").want(t, 401)
	env.tryLogin(email, goodPassword).want(t, 403)
	env.admin.call("POST", "/v1/registrations/"+id+"/approve", nil, "X-Request-ID", "the-approval", "X-Forwarded-For", "192.0.2.44").want(t, 200)
	c := env.login(email, goodPassword)
	c.call("GET", "/v1/users", nil).want(t, 403)
	c.call("POST", "/v1/auth/logout", nil).want(t, 204)
	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"role": "customer"}).want(t, 200)

	var kinds []string
	path := "/v1/audit?limit=2&object=" + id
	for cursor := ""; ; {
		a := env.admin.call("GET", path+cursor, nil).want(t, 200)
		for _, e := range a.items(t) {
			kinds = append(kinds, e["kind"].(string))
		}
		if cursor = a.str("next_cursor"); cursor == "" {
			break
		}
		cursor = "&cursor=" + cursor
	}
	if got, want := strings.Join(kinds, " "), "user_changed registration_approved login_refused login_failed registered"; got != want {
		t.Errorf("done to the engineer: %s, want %s", got, want)
	}
	approval := env.admin.call("GET", "/v1/audit?kind=registration_approved&actor="+env.admin.id, nil).want(t, 200).items(t)[0]
	if approval["actor_name"] != "Root" || approval["object_name"] != "Test User" {
		t.Errorf("%v approved %v", approval["actor_name"], approval["object_name"])
	}
	signIn := env.admin.call("GET", "/v1/audit?kind=login_succeeded&actor="+id, nil).want(t, 200).items(t)[0]
	if name, named := signIn["object_name"]; !named || name != nil {
		t.Errorf("a session is named %v", name)
	}
	if approval["address"] != "192.0.2.44" || approval["request_id"] != "the-approval" ||
		fmt.Sprint(approval["before"], approval["after"]) != "map[name:Test User role:engineer status:pending] map[name:Test User role:engineer status:approved]" {
		t.Errorf("the approval: %v", approval)
	}
	var own []string
	for _, e := range env.admin.call("GET", "/v1/audit?actor="+id, nil).want(t, 200).items(t) {
		own = append(own, e["kind"].(string))
	}
	if got, want := strings.Join(own, " "), "logged_out access_refused login_succeeded"; got != want {
		t.Errorf("done by the engineer: %s, want %s", got, want)
	}
	when := approval["created_at"].(string)
	if n := len(env.admin.call("GET", "/v1/audit?created_after="+when+"&created_before=2999-01-01T00:00:00Z&object="+id, nil).want(t, 200).items(t)); n != 1 {
		t.Errorf("%d events after the approval", n)
	}
	for _, statement := range []string{
		"update audit_events set kind = 'x'", "delete from audit_events", "truncate audit_events"} {
		if _, err := env.pool.Exec(context.Background(), statement); err == nil {
			t.Errorf("the database lets %q pass", statement)
		}
	}
}

func TestRecordedRefusalsAreLimited(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for range 30 {
		c.call("GET", "/v1/audit", nil).want(t, 403, "forbidden")
	}
	if n := env.count("select count(*) from audit_events where kind = 'access_refused'"); n != 10 {
		t.Errorf("%d refusals recorded", n)
	}
}

func TestFirstAdminIsCreatedOnceAndNotChanged(t *testing.T) {
	env := newTestEnv(t)
	ctx := context.Background()
	made := 0
	for _, created := range concurrently(8, func(int) bool {
		created, err := env.service.EnsureAdmin(ctx, "First@fixdesk.test", goodPassword, "Admin")
		if err != nil {
			t.Error(err)
		}
		return created
	}) {
		if created {
			made++
		}
	}
	if made != 1 {
		t.Errorf("made %d times", made)
	}
	first := env.login("first@fixdesk.test", goodPassword)
	first.call("GET", "/v1/users", nil).want(t, 200)
	env.admin.call("PATCH", "/v1/users/"+first.id, map[string]any{"status": "suspended"}).want(t, 200)
	if created, err := env.service.EnsureAdmin(ctx, "first@fixdesk.test", "another lamp in the hallway", "Admin"); err != nil || created {
		t.Errorf("made again: %v, %v", created, err)
	}
	env.tryLogin("first@fixdesk.test", goodPassword).want(t, 403, "account_suspended")
	if _, err := env.service.CreateAdmin(ctx, "first@fixdesk.test", goodPassword, "Admin"); codeOf(err) != "email_taken" {
		t.Errorf("made twice: %v", err)
	}
	for _, c := range []struct{ email, password, want string }{
		{"nobody", "password1", "the admin's email must be an e-mail address such as name@example.com: there is no @\nthe admin's password must not be a common password"},
		{"x@fixdesk.test", "password1", "the admin's password must not be a common password"}, {"nobody", goodPassword, "the admin's email must be an e-mail address"},
	} {
		if _, err := env.service.EnsureAdmin(ctx, c.email, c.password, "Admin"); err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), c.password) {
			t.Errorf("%s: %v", c.email, err)
		}
	}
}

func TestEngineerExistsWhileRoleAndStatusAllowIt(t *testing.T) {
	env := newTestEnv(t)
	id, _ := env.register(RoleEngineer)
	isThere := func(want int) {
		t.Helper()
		if n := env.count("select count(*) from engineers where user_id = $1", id); n != want {
			t.Errorf("%d rows among the engineers, want %d", n, want)
		}
	}
	change := func(body map[string]any, want int) {
		t.Helper()
		env.admin.call("PATCH", "/v1/users/"+id, body).want(t, 200)
		isThere(want)
	}
	isThere(0)
	env.admin.call("POST", "/v1/registrations/"+id+"/approve", nil).want(t, 200)
	isThere(1)
	change(map[string]any{"status": "suspended"}, 0)
	change(map[string]any{"role": "customer"}, 0)
	change(map[string]any{"status": "approved"}, 0)
	change(map[string]any{"role": "engineer"}, 1)
	change(map[string]any{"name": "Ada"}, 1)
	change(map[string]any{"role": "admin"}, 0)
	change(map[string]any{"role": "engineer", "status": "rejected"}, 0)
	change(map[string]any{"status": "approved"}, 1)
}

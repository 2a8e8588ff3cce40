package identity

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestEngineersAccountFromRegistrationToSuspension(t *testing.T) {
	env := newTestEnv(t)
	id, email := env.register(RoleEngineer)
	env.tryLogin(email, goodPassword).want(t, 403, "account_pending")
	env.tryLogin(email, "not the password").want(t, 401, "invalid_credentials")

	waiting := env.admin.call("GET", "/v1/registrations?status=pending&role=engineer", nil).want(t, 200).items(t)
	if len(waiting) != 1 || waiting[0]["id"] != id || waiting[0]["decided_by"] != nil {
		t.Fatalf("waiting registrations: %v", waiting)
	}
	rejected := env.admin.call("POST", "/v1/registrations/"+id+"/reject", map[string]any{"reason": "We don't know you."}).want(t, 200)
	if rejected.str("status") != "rejected" || rejected.str("reason") != "We don't know you." || rejected.str("decided_by") != env.admin.id || rejected.str("decided_at") == "" {
		t.Fatalf("rejected: %s", rejected.text)
	}
	if a := env.tryLogin(email, goodPassword).want(t, 403, "account_rejected"); !strings.Contains(a.str("detail"), "We don't know you.") {
		t.Errorf("the reason is missing: %s", a.text)
	}
	env.admin.call("POST", "/v1/registrations/"+id+"/approve", nil).want(t, 409, "already_decided")
	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"status": "approved"}).want(t, 200)

	engineer := env.login(email, goodPassword)
	if me := engineer.call("GET", "/v1/me", nil).want(t, 200); me.body["available"] != true || me.str("role") != "engineer" {
		t.Errorf("me: %s", me.text)
	}
	engineer.call("GET", "/v1/users", nil).want(t, 403, "forbidden")
	if me := engineer.call("PATCH", "/v1/me", map[string]any{"name": "Ada", "available": false, "hand_over": true}).want(t, 200); me.str("name") != "Ada" || me.body["available"] != false {
		t.Errorf("changed me: %s", me.text)
	}

	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"status": "suspended"}).want(t, 200)
	engineer.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	env.tryLogin(email, goodPassword).want(t, 403, "account_suspended")
	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"status": "approved"}).want(t, 200)
	engineer.call("GET", "/v1/me", nil).want(t, 401, "invalid_token") // the session ended with the suspension
	env.login(email, goodPassword)
}

func TestRegistrationIsMailedToAdminsAndItsAnswerToTheApplicant(t *testing.T) {
	env := newTestEnv(t)
	id, _ := env.register(RoleEngineer)
	if n := env.count("select count(*) from outbox where kind = 'registration_waiting' and reference = $1 and data->'to'->0->>'email' = 'root@fixdesk.test' and jsonb_array_length(data->'to') = 1", id); n != 1 {
		t.Errorf("%d notices of a pending registration", n)
	}
	woken := env.woken.Load()
	env.admin.call("POST", "/v1/registrations/"+id+"/reject", map[string]any{"reason": "No."}).want(t, 200)
	env.admin.call("PATCH", "/v1/users/"+id, map[string]any{"status": "approved"}).want(t, 200)
	for query, want := range map[string]int{
		"select count(*) from outbox where kind = 'registration_decided' and reference = $1":                                                               2,
		"select count(*) from outbox where kind = 'registration_decided' and reference = $1 and (data->>'approved')::bool and data->>'reason' = ''":        1,
		"select count(*) from outbox where kind = 'registration_decided' and reference = $1 and not (data->>'approved')::bool and data->>'reason' = 'No.'": 1,
	} {
		if n := env.count(query, id); n != want {
			t.Errorf("%d instead of %d for %s", n, want, query)
		}
	}
	if env.woken.Load() < woken+2 {
		t.Error("the dispatcher was not woken")
	}
	before := env.count("select count(*) from outbox")
	env.register(RoleCustomer)
	if env.count("select count(*) from outbox") != before {
		t.Error("admins were notified of a customer")
	}
}

func TestInvalidRegistrationIsRefused(t *testing.T) {
	env := newTestEnv(t)
	_, taken := env.register(RoleCustomer)
	ok := func() map[string]any {
		return map[string]any{"name": "Ada", "email": uuid.NewString() + "@fixdesk.test", "password": goodPassword}
	}
	for name, c := range map[string]struct {
		field  string
		value  any
		status int
		code   string
	}{
		"taken":              {"email", taken, 409, "email_taken"},
		"taken in capitals":  {"email", strings.ToUpper(taken), 409, "email_taken"},
		"no address":         {"email", "nobody", 422, "validation_failed"},
		"address literal":    {"email", "a@[127.0.0.1]", 422, "validation_failed"},
		"display name":       {"email", "Ada <ada@fixdesk.test>", 422, "validation_failed"},
		"header in address":  {"email", "ada@fixdesk.test\r\nBcc: x@y.test", 422, "validation_failed"},
		"header in name":     {"name", "Ada\r\nBcc: x@y.test", 422, "validation_failed"},
		"empty name":         {"name", " ", 422, "validation_failed"},
		"short password":     {"password", "short", 422, "validation_failed"},
		"common password":    {"password", "Password123", 422, "validation_failed"},
		"long password":      {"password", strings.Repeat("ab", 65), 422, "validation_failed"},
		"enormous password":  {"password", strings.Repeat("ab", 400_000), 422, "validation_failed"},
		"unknown role":       {"role", "owner", 422, "validation_failed"},
		"assigned status":    {"status", "approved", 422, "validation_failed"},
		"assigned id":        {"id", uuid.NewString(), 422, "validation_failed"},
		"assigned version":   {"version", 7, 422, "validation_failed"},
		"password as number": {"password", 1234567890, 422, "validation_failed"},
	} {
		before := env.count("select count(*) from users")
		body := ok()
		body[c.field] = c.value
		a := env.call("POST", "/v1/auth/register", "", body)
		if a.status != c.status || a.str("code") != c.code {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		if s, isText := c.value.(string); isText && len(s) > 3 && strings.Contains(a.text, s) {
			t.Errorf("%s: the answer repeats the value: %s", name, a.text)
		}
		if env.count("select count(*) from users") != before {
			t.Errorf("%s: a user was made", name)
		}
	}
	longest := ok()
	longest["password"] = strings.Repeat("lämp", 32)
	env.call("POST", "/v1/auth/register", "", longest).want(t, 201)
	env.login(longest["email"].(string), strings.Repeat("lämp", 32))
	a := env.call("POST", "/v1/auth/register", "", ok()).want(t, 201)
	if a.str("role") != "customer" || a.str("status") != "approved" || strings.Contains(a.text, "password") {
		t.Errorf("registered: %s", a.text)
	}
}

func TestChangingThePasswordEndsTheOtherSessions(t *testing.T) {
	env := newTestEnv(t)
	here := env.approved(RoleCustomer)
	there := env.login(here.email, goodPassword)
	const next = "another lamp in the hallway"
	here.call("POST", "/v1/me/password", map[string]any{"current_password": "wrong one", "new_password": next}).want(t, 401, "invalid_credentials")
	here.call("POST", "/v1/me/password", map[string]any{"current_password": goodPassword, "new_password": "password1"}).want(t, 422, "validation_failed")
	there.call("GET", "/v1/me", nil).want(t, 200)
	here.call("POST", "/v1/me/password", map[string]any{"current_password": goodPassword, "new_password": next}).want(t, 204)
	here.call("GET", "/v1/me", nil).want(t, 200)
	there.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": there.refreshWith}).want(t, 401, "invalid_token")
	env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": here.refreshWith}).want(t, 200)
	env.tryLogin(here.email, goodPassword).want(t, 401, "invalid_credentials")
	env.login(here.email, next)
}

func TestSessionLastsADayAndItsAccessTokenTenMinutes(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	env.clock.advance(10*time.Minute - 2*time.Second)
	c.call("GET", "/v1/me", nil).want(t, 200)
	env.clock.advance(3 * time.Second)
	c.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	env.clock.advance(23 * time.Hour)
	a := env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": c.refreshWith}).want(t, 200)
	env.clock.advance(49 * time.Minute)
	a = env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": a.str("refresh_token")}).want(t, 200)
	if left := a.body["expires_in"].(float64); left > 60 {
		t.Errorf("the access token outlives its session: %v seconds", left)
	}
	env.clock.advance(time.Minute)
	env.call("GET", "/v1/me", a.str("access_token"), nil).want(t, 401, "invalid_token")
	env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": a.str("refresh_token")}).want(t, 401, "invalid_token")
}

func TestSessionsAreListedAndEndedOneByOne(t *testing.T) {
	env := newTestEnv(t)
	here := env.approved(RoleEngineer)
	var others []*caller
	for range 3 {
		others = append(others, env.login(here.email, goodPassword))
	}
	first := here.call("GET", "/v1/me/sessions?limit=2", nil).want(t, 200)
	second := here.call("GET", "/v1/me/sessions?limit=2&cursor="+first.str("next_cursor"), nil).want(t, 200)
	list := append(first.items(t), second.items(t)...)
	if len(list) != 4 || second.body["next_cursor"] != nil || list[3]["current"] != true || list[0]["current"] != false {
		t.Fatalf("sessions: %v", list)
	}
	if list[0]["address"] == "" || list[0]["user_agent"] != "Go-http-client/1.1" {
		t.Errorf("session: %v", list[0])
	}
	otherCustomer := env.approved(RoleCustomer)
	foreign := otherCustomer.call("DELETE", "/v1/me/sessions/"+list[0]["id"].(string), nil, "X-Request-ID", "same").want(t, 404)
	missing := otherCustomer.call("DELETE", "/v1/me/sessions/"+uuid.NewString(), nil, "X-Request-ID", "same").want(t, 404)
	if foreign.text != missing.text {
		t.Errorf("a foreign session differs from a missing one:\n%s\n%s", foreign.text, missing.text)
	}
	others[2].call("GET", "/v1/me", nil).want(t, 200)
	here.call("DELETE", "/v1/me/sessions/"+list[0]["id"].(string), nil).want(t, 204)
	others[2].call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	others[1].call("GET", "/v1/me", nil).want(t, 200)
	here.call("DELETE", "/v1/me/sessions/"+list[0]["id"].(string), nil).want(t, 404)
	if n := len(here.call("GET", "/v1/me/sessions", nil).want(t, 200).items(t)); n != 3 {
		t.Errorf("%d sessions left", n)
	}
}

func TestLogoutStopsBothTokensAtOnceOnEveryReplica(t *testing.T) {
	env := newTestEnv(t)
	_, _, other := env.replica(cheap)
	c := env.approved(RoleCustomer)
	env.callAt(other, "GET", "/v1/me", c.access, nil).want(t, 200)
	c.call("POST", "/v1/auth/logout", nil).want(t, 204)
	for _, url := range []string{env.url, other} {
		env.callAt(url, "GET", "/v1/me", c.access, nil).want(t, 401, "invalid_token")
		env.callAt(url, "POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": c.refreshWith}).want(t, 401, "invalid_token")
	}
	if a := c.call("POST", "/v1/auth/logout", nil).want(t, 401); a.header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
}

func TestVerificationKeysArePublished(t *testing.T) {
	env := newTestEnv(t)
	a := env.call(http.MethodGet, "/.well-known/jwks.json", "", nil).want(t, 200)
	keys := a.body["keys"].([]any)
	if len(keys) != 2 || strings.Contains(a.text, `"d"`) {
		t.Errorf("JWKS: %s", a.text)
	}
}

func TestLoginOvertakenByAPasswordChangeOpensNoSession(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	ctx := context.Background()
	checked, err := env.service.q.UserByEmail(ctx, c.email)
	if err != nil {
		t.Fatal(err)
	}
	limits := &loginLimits{account: c.email, network: freshAddress()}
	if _, err := env.service.openSession(ctx, limits, checked, ""); err != nil {
		t.Fatal(err) // the control: not overtaken
	}
	c.call("POST", "/v1/me/password", map[string]any{"current_password": goodPassword, "new_password": "another lamp in the hallway"}).want(t, 204)
	if _, err := env.service.openSession(ctx, limits, checked, ""); codeOf(err) != "invalid_credentials" {
		t.Errorf("a session was opened with the old password: %v", err)
	}
	if n := len(c.call("GET", "/v1/me/sessions", nil).want(t, 200).items(t)); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestOverLongPasswordsNeverReachTheHash(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for range cap(env.service.hasher.slots) { // another hash waits for 5 s and gets 503
		env.service.hasher.slots <- struct{}{}
	}
	for _, long := range []string{strings.Repeat("a", 129), strings.Repeat("é", 500_000)} {
		env.tryLogin(c.email, long).want(t, 422, "validation_failed")
		env.reset(newSecret().text(), long).want(t, 422, "validation_failed")
		c.call("POST", "/v1/me/password", map[string]any{"current_password": long, "new_password": goodPassword}).want(t, 422, "validation_failed")
	}
}

func TestRegistrationsThatWaitWhileTheirAddressIsTakenCostNoHash(t *testing.T) {
	env := newTestEnv(t)
	h := env.service.hasher
	h.cost.Threads = 0 // a hash panics
	register := func(email string) <-chan string {
		code := make(chan string, 1)
		go func() {
			defer func() {
				if v := recover(); v != nil {
					code <- "hashed"
				}
			}()
			_, _, err := env.service.Register(context.Background(), NewUser{Name: "Ada", Email: email, Password: goodPassword, Role: RoleCustomer})
			code <- codeOf(err)
		}()
		return code
	}
	for range cap(h.slots) {
		h.slots <- struct{}{}
	}
	waits := register("taken@example.org")
	for end := time.Now().Add(time.Minute); !waitsForCore(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the registration doesn't wait for a core")
		}
	}
	env.insertUser(t, "taken@example.org", RoleCustomer, StatusApproved)
	for range cap(h.slots) {
		<-h.slots
	}
	if code := <-waits; code != "email_taken" {
		t.Errorf("the registration that waited: %s", code)
	}
	if code := <-register("free@example.org"); code != "hashed" {
		t.Errorf("the control: %s", code)
	}
}

// waitsForCore reports whether a hash waits.
func waitsForCore() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*hasher).wait(")
}

func TestRegistrationNamesEachWrongField(t *testing.T) {
	env := newTestEnv(t)
	a := env.call("POST", "/v1/auth/register", "", map[string]any{"name": "A\nB", "email": "ada@nowhere", "password": "12345678"}).want(t, 422, "validation_failed")
	list, _ := a.body["errors"].([]any)
	var locations []string
	for _, e := range list {
		field, _ := e.(map[string]any)
		location, _ := field["location"].(string)
		locations = append(locations, location)
		if message, _ := field["message"].(string); !strings.HasPrefix(message, "must ") {
			t.Errorf("%s: %q", location, message)
		}
	}
	if got := strings.Join(locations, " "); got != "body.name body.email body.password" {
		t.Errorf("notified %q", got)
	}
}

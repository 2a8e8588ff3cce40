package identity

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/notice"
)

func (env *testEnv) verify(token string) answer {
	env.t.Helper()
	return env.call("POST", "/v1/auth/verify", "", map[string]any{"token": token})
}

func (env *testEnv) isVerified(id string) bool {
	env.t.Helper()
	return env.admin.call("GET", "/v1/users/"+id, nil).want(env.t, 200).body["email_verified_at"] != nil
}

func TestRegistrationMailsATokenThatVerifiesTheAddressOnce(t *testing.T) {
	env := newTestEnv(t)
	env.service.SendVerification = true
	for _, role := range []Role{RoleCustomer, RoleEngineer} {
		id, email := env.register(role)
		if env.isVerified(id) {
			t.Errorf("%s: verified on registration", role)
		}
		if role == RoleCustomer && !env.login(email, goodPassword).principal().Unverified {
			t.Error("the principal's address counts as verified")
		}
		token := env.tokenIn("email_verification", id)
		env.verify(token+"x").want(t, 401, "invalid_token")
		won := 0
		for _, a := range concurrently(10, func(int) answer { return env.verify(token) }) {
			if a.status == 204 {
				won++
			} else {
				a.want(t, 401, "invalid_token")
			}
		}
		if role == RoleCustomer && env.login(email, goodPassword).principal().Unverified {
			t.Error("the principal's address doesn't count as verified")
		}
		if won != 1 || !env.isVerified(id) {
			t.Errorf("%s: used %d times, verified %v", role, won, env.isVerified(id))
		}
	}
	if n := env.count("select count(*) from audit_events where kind = 'email_verified'"); n != 2 {
		t.Errorf("%d audit events", n)
	}
}

func TestVerificationTokenEndsAfterADayAndWithItsAddress(t *testing.T) {
	env := newTestEnv(t)
	env.service.SendVerification = true
	id, _ := env.register(RoleCustomer)
	token := env.tokenIn("email_verification", id)
	env.exec("update users set email = 'moved@fixdesk.test' where id = $1", id)
	env.verify(token).want(t, 401, "invalid_token")

	id, _ = env.register(RoleCustomer)
	token = env.tokenIn("email_verification", id)
	env.clock.advance(24*time.Hour + time.Second)
	env.verify(token).want(t, 401, "invalid_token")
}

func TestVerificationIsMailedThreeTimesAnHourToUnverifiedAddresses(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	mails := "select count(*) from outbox where kind = 'email_verification'"
	for range 3 {
		c.call("POST", "/v1/auth/verify/resend", nil).want(t, 202)
	}
	a := c.call("POST", "/v1/auth/verify/resend", nil).want(t, 429, "rate_limited")
	if a.header.Get("Retry-After") == "" || env.count(mails) != 3 {
		t.Errorf("%d mails, %v", env.count(mails), a.header)
	}
	env.verify(env.tokenIn("email_verification", c.id)).want(t, 204)
	env.clock.advance(time.Hour + time.Minute)
	c.env, c = env, env.login(c.email, goodPassword)
	c.call("POST", "/v1/auth/verify/resend", nil).want(t, 202)
	if n := env.count(mails); n != 3 {
		t.Errorf("%d mails, one to a verified address", n)
	}
}

func TestMailedResetTokenVerifiesTheAddress(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	env.forgot(c.email).want(t, 202)
	if env.isVerified(c.id) { // the control
		t.Error("verified before the token was used")
	}
	env.reset(env.mailedToken(c.id), "another lamp in the hallway").want(t, 204)
	if !env.isVerified(c.id) {
		t.Error("not verified by a mailed token")
	}
}

func TestMailsToAnUnverifiedAddressHaveNoTextOfItsAccount(t *testing.T) {
	env := newTestEnv(t)
	env.service.SendVerification = true
	a := env.call("POST", "/v1/auth/register", "", map[string]any{
		"name": "Claim Your Prize", "email": "claimed@fixdesk.test", "password": goodPassword,
	}).want(t, 201)
	env.forgot("claimed@fixdesk.test").want(t, 202)
	rows, err := env.pool.Query(t.Context(), "select kind, data from outbox where reference = $1", a.str("id"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kinds := map[string]bool{}
	for rows.Next() {
		var kind string
		var data json.RawMessage
		if err := rows.Scan(&kind, &data); err != nil {
			t.Fatal(err)
		}
		n, err := notice.Decode(kind, data)
		if err != nil {
			t.Fatal(err)
		}
		kinds[kind] = true
		if m := n.Message(notice.Links{PublicURL: "https://fixdesk.example", VerifiedOnly: true}); strings.Contains(m.Subject+m.Text+m.HTML, "Prize") {
			t.Errorf("%s has the name:\n%s", kind, m.Text)
		}
	}
	if err := rows.Err(); err != nil || !kinds["email_verification"] || !kinds["password_reset"] {
		t.Errorf("%v, %v", kinds, err)
	}
}

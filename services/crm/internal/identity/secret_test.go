package identity

import (
	"context"
	"strings"
	"testing"
)

// Each secret that passes through this room is made, used well, used badly and
// looked for in everything that leaves the room.
func TestSecretsAppearNowhereButWhereTheyAreGiven(t *testing.T) {
	d := newDesk(t)
	const first, second, third = "canary-one-hallway", "canary-two-hallway", "canary-three-hallway"
	var answers strings.Builder
	say := func(a answer) answer {
		answers.WriteString(a.text)
		return a
	}
	body := map[string]any{"name": "Ada", "email": "canary@desk.test", "password": first, "role": "customer"}
	say(d.call("POST", "/v1/auth/register", "", body).want(t, 201))
	say(d.call("POST", "/v1/auth/register", "", body).want(t, 409))
	body["role"] = "owner"
	say(d.call("POST", "/v1/auth/register", "", body).want(t, 422))
	say(d.call("POST", "/v1/auth/register", "", `{"password":"`+first).want(t, 400))
	say(d.call("POST", "/v1/auth/register", "", map[string]any{"password": []string{first}}).want(t, 422))
	c := d.login("canary@desk.test", first)
	say(d.tryLogin("canary@desk.test", second).want(t, 401))
	say(d.tryLogin(second, first).want(t, 401))
	say(c.call("GET", "/v1/me?access_token="+c.access, nil).want(t, 422))
	say(d.call("GET", "/v1/me", c.access+"x", nil).want(t, 401))
	say(c.call("POST", "/v1/me/password", map[string]any{"current_password": first, "new_password": second}).want(t, 204))
	say(c.call("POST", "/v1/me/password", map[string]any{"current_password": third, "new_password": second}).want(t, 401))
	spent := c.refreshWith
	grant := d.refresh(spent).want(t, 200)
	d.refresh(grant.str("refresh_token")).want(t, 200)
	say(d.refresh(spent).want(t, 401))
	d.forgot("canary@desk.test").want(t, 202)
	token := d.mailedToken(c.id)
	say(d.reset(token, "short").want(t, 422))
	say(d.reset(token, third).want(t, 204))
	say(d.reset(token, third).want(t, 401))
	d.pool.Close() // and what an unreachable database makes of it
	say(d.tryLogin("canary@desk.test", third).want(t, 503))
	say(d.refresh(grant.str("refresh_token")).want(t, 503))
	say(d.call("GET", "/v1/me", c.access, nil).want(t, 503))
	metrics := d.call("GET", "/metrics", "", nil).want(t, 200)

	secrets := map[string]string{
		"password": first, "new password": second, "reset password": third, "access token": c.access, "refresh token": spent,
		"successor": grant.str("refresh_token"), "reset token": token, "signature": c.access[strings.LastIndex(c.access, ".")+1:],
	}
	for name, secret := range secrets {
		for where, text := range map[string]string{"log": d.log.String(), "answers": answers.String(), "metrics": metrics.text} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s appears in the %s", name, where)
			}
		}
	}
	if !strings.Contains(d.log.String(), "/v1/auth/login") || !strings.Contains(answers.String(), "canary@desk.test") {
		t.Error("the control: nothing was looked through")
	}
}

func TestSecretsAppearInNoTableInTheClear(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	next := d.refresh(c.refreshWith).want(t, 200).str("refresh_token")
	d.tryLogin(c.email, "not the password").want(t, 401)
	for _, table := range []string{"users", "registrations", "sessions", "refresh_tokens", "rate_limits", "audit_events"} {
		rows, err := d.pool.Query(context.Background(), "select x::text from "+table+" x")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{goodPassword, "not the password", c.access, c.refreshWith, next} {
				if strings.Contains(text, secret) {
					t.Errorf("a secret stands in %s", table)
				}
			}
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
	}
}

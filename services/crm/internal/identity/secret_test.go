package identity

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestSecretsAppearOnlyInTheirAnswers creates each kind of secret, uses it rightly
// and wrongly, and searches every output of the service for it.
func TestSecretsAppearOnlyInTheirAnswers(t *testing.T) {
	env := newTestEnv(t)
	const first, second, third = "canary-one-hallway", "canary-two-hallway", "canary-three-hallway"
	var answers strings.Builder
	say := func(a answer) answer {
		answers.WriteString(a.text)
		return a
	}
	body := map[string]any{"name": "Ada", "email": "canary@fixdesk.test", "password": first, "role": "customer"}
	say(env.call("POST", "/v1/auth/register", "", body).want(t, 201))
	say(env.call("POST", "/v1/auth/register", "", body).want(t, 409))
	body["role"] = "owner"
	say(env.call("POST", "/v1/auth/register", "", body).want(t, 422))
	say(env.call("POST", "/v1/auth/register", "", `{"password":"`+first).want(t, 400))
	say(env.call("POST", "/v1/auth/register", "", map[string]any{"password": []string{first}}).want(t, 422))
	c := env.login("canary@fixdesk.test", first)
	say(env.tryLogin("canary@fixdesk.test", second).want(t, 401))
	say(env.tryLogin(second, first).want(t, 401))
	say(c.call("GET", "/v1/me?access_token="+c.access, nil).want(t, 422))
	say(env.call("GET", "/v1/me", c.access+"x", nil).want(t, 401))
	say(c.call("POST", "/v1/me/password", map[string]any{"current_password": first, "new_password": second}).want(t, 204))
	say(c.call("POST", "/v1/me/password", map[string]any{"current_password": third, "new_password": second}).want(t, 401))
	spent := c.refreshWith
	grant := env.refresh(spent).want(t, 200)
	env.refresh(grant.str("refresh_token")).want(t, 200)
	say(env.refresh(spent).want(t, 401))
	env.forgot("canary@fixdesk.test").want(t, 202)
	token := env.mailedToken(c.id)
	say(env.reset(token, "short").want(t, 422))
	say(env.reset(token, third).want(t, 204))
	say(env.reset(token, third).want(t, 401))
	c = env.login("canary@fixdesk.test", third)
	created := c.tryKey(map[string]any{"networks": []string{"10.0.0.0/8"}}).want(t, 201)
	rotated := c.rotate(created.str("id"), nil).want(t, 200)
	key, newest := created.str("secret"), rotated.str("secret")
	say(env.call("GET", "/v1/me", key, nil).want(t, 200))
	say(env.call("GET", "/v1/audit", key, nil).want(t, 403))
	say(env.call("GET", "/v1/me", key, nil, "X-Forwarded-For", "192.0.2.1").want(t, 403))
	say(env.call("GET", "/v1/me", key+"x", nil).want(t, 401))
	say(env.call("GET", "/v1/me?key="+key, newest, nil).want(t, 422))
	say(c.tryKey(map[string]any{"name": []string{key}}).want(t, 422))
	say(c.call("GET", "/v1/keys", nil).want(t, 200))
	say(c.call("GET", "/v1/me/export", nil).want(t, 200))
	say(c.rotate(newest, nil).want(t, 422))
	env.pool.Close() // includes the output without the database
	say(env.tryLogin("canary@fixdesk.test", third).want(t, 503))
	say(env.refresh(grant.str("refresh_token")).want(t, 503))
	say(env.call("GET", "/v1/me", c.access, nil).want(t, 503))
	say(env.call("GET", "/v1/me", key, nil).want(t, 503))
	metrics := httptest.NewRecorder()
	env.api.OpsHandler().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))

	secrets := map[string]string{
		"password": first, "new password": second, "reset password": third, "access token": c.access, "refresh token": spent,
		"successor": grant.str("refresh_token"), "reset token": token, "signature": c.access[strings.LastIndex(c.access, ".")+1:],
		"API key": key[hintLength:], "rotated API key": newest[hintLength:],
	}
	for name, secret := range secrets {
		for where, text := range map[string]string{"log": env.log.String(), "answers": answers.String(), "metrics": metrics.Body.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s appears in the %s", name, where)
			}
		}
	}
	if !strings.Contains(env.log.String(), "/v1/auth/login") || !strings.Contains(metrics.Body.String(), "/v1/auth/login") || !strings.Contains(answers.String(), "canary@fixdesk.test") {
		t.Error("the control: nothing was looked through")
	}
}

func TestNoTableHasASecretInTheClear(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	next := env.refresh(c.refreshWith).want(t, 200).str("refresh_token")
	env.tryLogin(c.email, "not the password").want(t, 401)
	id, key := c.key(ScopePeopleRead)
	newest := c.rotate(id, nil).want(t, 200).str("secret")
	env.call("GET", "/v1/me", key, nil).want(t, 200)
	for _, table := range []string{"users", "registrations", "sessions", "refresh_tokens", "rate_limits", "audit_events", "api_keys", "api_key_secrets", "outbox"} {
		rows, err := env.pool.Query(context.Background(), "select x::text from "+table+" x")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{goodPassword, "not the password", c.access, c.refreshWith, next, key[hintLength:], newest[hintLength:]} {
				if strings.Contains(text, secret) {
					t.Errorf("a secret is in %s", table)
				}
			}
		}
		if rows.Err() != nil {
			t.Fatal(rows.Err())
		}
	}
}

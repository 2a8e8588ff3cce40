package identity

import (
	"context"
	"strings"
	"testing"
	"time"
)

// mailedToken is the token in the latest reset mail to the user.
func (env *testEnv) mailedToken(userID string) string { return env.tokenIn("password_reset", userID) }

func (env *testEnv) tokenIn(kind, userID string) string {
	env.t.Helper()
	var token string
	if err := env.pool.QueryRow(context.Background(),
		"select data->>'token' from outbox where kind = $1 and reference = $2 order by id desc limit 1", kind, userID).Scan(&token); err != nil {
		env.t.Fatal(err)
	}
	return token
}

func (env *testEnv) forgot(email string, headers ...string) answer {
	env.t.Helper()
	return env.call("POST", "/v1/auth/password/forgot", "", map[string]any{"email": email}, headers...)
}

func (env *testEnv) reset(token, password string) answer {
	env.t.Helper()
	return env.call("POST", "/v1/auth/password/reset", "", map[string]any{"token": token, "password": password})
}

func TestPasswordIsResetOnceAndAllSessionsEnd(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	env.forgot(strings.ToUpper(c.email)).want(t, 202)
	first := env.mailedToken(c.id)
	env.forgot(c.email).want(t, 202)
	token := env.mailedToken(c.id)
	if s, err := parseSecret(token); err != nil || env.count("select count(*) from password_resets where token_hash = $1", s.hash()) != 1 {
		t.Error("the token isn't stored by its hash")
	}
	const next = "another lamp in the hallway"
	env.reset(token, "password1").want(t, 422, "validation_failed") // the token is not spent
	for range 5 {
		env.tryLogin(c.email, "not the password").want(t, 401)
	}
	env.reset(token, next).want(t, 204)
	c.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	env.refresh(c.refreshWith).want(t, 401, "invalid_token")
	env.reset(token, "a third lamp in the hallway").want(t, 401, "invalid_token")
	env.reset(first, "a third lamp in the hallway").want(t, 401, "invalid_token") // void since the other was used
	env.login(c.email, next)                                                      // the failures are deleted
	env.tryLogin(c.email, goodPassword).want(t, 401, "invalid_credentials")
}

func TestResetTokensExpireAfterTenMinutesAndAnEmptyOneIsInvalid(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	env.forgot(c.email).want(t, 202)
	token := env.mailedToken(c.id)
	const next = "another lamp in the hallway"
	env.reset("", next).want(t, 422)
	env.reset(strings.Repeat("A", 43), next).want(t, 401, "invalid_token")
	env.reset(token+"=", next).want(t, 401, "invalid_token")
	env.reset(c.refreshWith, next).want(t, 401, "invalid_token")
	env.clock.advance(10*time.Minute + time.Second)
	env.reset(token, next).want(t, 401, "invalid_token")
	env.login(c.email, goodPassword)
}

func TestConcurrentResetsWithOneTokenHaveOneWinner(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for range 3 {
		env.forgot(c.email).want(t, 202)
		token := env.mailedToken(c.id)
		won := 0
		for _, a := range concurrently(10, func(int) answer { return env.reset(token, "another lamp in the hallway") }) {
			if a.status == 204 {
				won++
			} else if a.status != 401 {
				t.Errorf("status %d: %s", a.status, a.text)
			}
		}
		if won != 1 {
			t.Errorf("%d resets with one token", won)
		}
	}
}

func TestForgotAnswersAlikeAndMailsAnAccountThreeTimesAnHour(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	from := []string{"X-Forwarded-For", freshAddress()}
	known := env.forgot(c.email, from...).want(t, 202)
	for _, email := range []string{"nobody@fixdesk.test", "not an address", c.email, c.email, c.email, c.email} {
		a := env.forgot(email, from...).want(t, 202)
		if a.text != known.text || a.header.Get("RateLimit") != "" {
			t.Errorf("%s is answered otherwise: %s", email, a.text)
		}
	}
	mails := "select count(*) from outbox where kind = 'password_reset'"
	if n := env.count(mails); n != 3 {
		t.Errorf("%d mails", n)
	}
	env.clock.advance(time.Hour + time.Second)
	env.forgot(c.email, from...).want(t, 202)
	if n := env.count(mails); n != 4 {
		t.Errorf("%d mails an hour later", n)
	}
}

func TestForgotQuotaIsSeparateForEachNetwork(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	mails := "select count(*) from outbox where kind = 'password_reset'"
	otherNetwork := []string{"X-Forwarded-For", freshAddress()}
	for range 4 {
		env.forgot(c.email, otherNetwork...).want(t, 202)
	}
	if n := env.count(mails); n != 3 { // the control: the quota of the other network ends
		t.Errorf("%d mails for the other network", n)
	}
	first := env.mailedToken(c.id)
	env.forgot(c.email).want(t, 202)
	own := env.mailedToken(c.id)
	if n := env.count(mails); n != 4 || own == first {
		t.Errorf("%d mails after the person's own request", n)
	}
	// All networks together send 5 mails in 5 minutes; then the newest token is good for 5 minutes.
	for range 4 {
		env.forgot(c.email).want(t, 202)
	}
	if n := env.count(mails); n != 5 {
		t.Errorf("%d mails from many networks", n)
	}
	env.clock.advance(5*time.Minute - 5*time.Second)
	env.reset(env.mailedToken(c.id), "another lamp in the hallway").want(t, 204)
}

func TestEachMailedResetTokenIsValidUntilOneIsUsed(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	var tokens []string
	for range 3 {
		env.forgot(c.email).want(t, 202)
		tokens = append(tokens, env.mailedToken(c.id))
	}
	env.reset(tokens[1], "another lamp in the hallway").want(t, 204)
	env.reset(tokens[0], "a third lamp in the hallway").want(t, 401, "invalid_token")
	env.reset(tokens[2], "a third lamp in the hallway").want(t, 401, "invalid_token")
}

func TestForgotTakesTheMinimumTimeForAnyAddress(t *testing.T) {
	env := newTestEnv(t)
	env.service.minForgotTime = 150 * time.Millisecond
	c := env.approved(RoleCustomer)
	for _, email := range []string{c.email, "nobody@fixdesk.test"} {
		start := time.Now()
		env.forgot(email).want(t, 202)
		if took := time.Since(start); took < env.service.minForgotTime {
			t.Errorf("%s took %s", email, took)
		}
	}
}

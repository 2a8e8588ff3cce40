package identity

import (
	"context"
	"strings"
	"testing"
	"time"
)

// mailedToken is the token in the latest reset mail to the user.
func (d *desk) mailedToken(userID string) string { return d.tokenIn("password_reset", userID) }

func (d *desk) tokenIn(kind, userID string) string {
	d.t.Helper()
	var token string
	if err := d.pool.QueryRow(context.Background(),
		"select data->>'token' from outbox where kind = $1 and reference = $2 order by id desc limit 1", kind, userID).Scan(&token); err != nil {
		d.t.Fatal(err)
	}
	return token
}

func (d *desk) forgot(email string, headers ...string) answer {
	d.t.Helper()
	return d.call("POST", "/v1/auth/password/forgot", "", map[string]any{"email": email}, headers...)
}

func (d *desk) reset(token, password string) answer {
	d.t.Helper()
	return d.call("POST", "/v1/auth/password/reset", "", map[string]any{"token": token, "password": password})
}

func TestAForgottenPasswordIsResetOnceAndEndsAllSessions(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	d.forgot(strings.ToUpper(c.email)).want(t, 202)
	first := d.mailedToken(c.id)
	d.forgot(c.email).want(t, 202)
	token := d.mailedToken(c.id)
	if s, err := parseSecret(token); err != nil || d.count("select count(*) from password_resets where token_hash = $1", s.hash()) != 1 {
		t.Error("the token isn't stored by its hash")
	}
	const next = "another lamp in the hallway"
	d.reset(token, "password1").want(t, 422, "validation_failed") // and the token isn't spent
	for range 5 {
		d.tryLogin(c.email, "not the password").want(t, 401)
	}
	d.reset(token, next).want(t, 204)
	c.call("GET", "/v1/me", nil).want(t, 401, "invalid_token")
	d.refresh(c.refreshWith).want(t, 401, "invalid_token")
	d.reset(token, "a third lamp in the hallway").want(t, 401, "invalid_token")
	d.reset(first, "a third lamp in the hallway").want(t, 401, "invalid_token") // void with the other
	d.login(c.email, next)                                                      // the failures are forgotten, too
	d.tryLogin(c.email, goodPassword).want(t, 401, "invalid_credentials")
}

func TestResetTokensEndAfterTenMinutesAndAnEmptyOneIsNone(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	d.forgot(c.email).want(t, 202)
	token := d.mailedToken(c.id)
	const next = "another lamp in the hallway"
	d.reset("", next).want(t, 422)
	d.reset(strings.Repeat("A", 43), next).want(t, 401, "invalid_token")
	d.reset(token+"=", next).want(t, 401, "invalid_token")
	d.reset(c.refreshWith, next).want(t, 401, "invalid_token")
	d.clock.advance(10*time.Minute + time.Second)
	d.reset(token, next).want(t, 401, "invalid_token")
	d.login(c.email, goodPassword)
}

func TestAResetSpentTwiceAtTheSameTimeIsSpentOnce(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	for range 3 {
		d.forgot(c.email).want(t, 202)
		token := d.mailedToken(c.id)
		won := 0
		for _, a := range atOnce(10, func(int) answer { return d.reset(token, "another lamp in the hallway") }) {
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

func TestForgotSaysNothingAndMailsAnAccountThreeTimesAnHour(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	from := []string{"X-Forwarded-For", freshAddress()}
	known := d.forgot(c.email, from...).want(t, 202)
	for _, email := range []string{"nobody@desk.test", "not an address", c.email, c.email, c.email, c.email} {
		a := d.forgot(email, from...).want(t, 202)
		if a.text != known.text || a.header.Get("RateLimit") != "" {
			t.Errorf("%s can be told apart: %s", email, a.text)
		}
	}
	mails := "select count(*) from outbox where kind = 'password_reset'"
	if n := d.count(mails); n != 3 {
		t.Errorf("%d mails", n)
	}
	d.clock.advance(time.Hour + time.Second)
	d.forgot(c.email, from...).want(t, 202)
	if n := d.count(mails); n != 4 {
		t.Errorf("%d mails an hour later", n)
	}
}

func TestForgotRequestsOfOthersLeaveOnesOwn(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	mails := "select count(*) from outbox where kind = 'password_reset'"
	stranger := []string{"X-Forwarded-For", freshAddress()}
	for range 4 {
		d.forgot(c.email, stranger...).want(t, 202)
	}
	if n := d.count(mails); n != 3 { // the control: the stranger's own quota ends
		t.Errorf("%d mails for the stranger", n)
	}
	first := d.mailedToken(c.id)
	d.forgot(c.email).want(t, 202)
	own := d.mailedToken(c.id)
	if n := d.count(mails); n != 4 || own == first {
		t.Errorf("%d mails after the person's own request", n)
	}
	// All networks together send 5 mails in 5 minutes; then the newest token is good for 5 minutes.
	for range 4 {
		d.forgot(c.email).want(t, 202)
	}
	if n := d.count(mails); n != 5 {
		t.Errorf("%d mails from many networks", n)
	}
	d.clock.advance(5*time.Minute - 5*time.Second)
	d.reset(d.mailedToken(c.id), "another lamp in the hallway").want(t, 204)
}

func TestEachMailedResetTokenIsGoodUntilOneIsUsed(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	var tokens []string
	for range 3 {
		d.forgot(c.email).want(t, 202)
		tokens = append(tokens, d.mailedToken(c.id))
	}
	d.reset(tokens[1], "another lamp in the hallway").want(t, 204)
	d.reset(tokens[0], "a third lamp in the hallway").want(t, 401, "invalid_token")
	d.reset(tokens[2], "a third lamp in the hallway").want(t, 401, "invalid_token")
}

func TestForgotTakesTheSameTimeAtLeast(t *testing.T) {
	d := newDesk(t)
	d.service.forgotTakes = 150 * time.Millisecond
	c := d.approved(RoleCustomer)
	for _, email := range []string{c.email, "nobody@desk.test"} {
		start := time.Now()
		d.forgot(email).want(t, 202)
		if took := time.Since(start); took < d.service.forgotTakes {
			t.Errorf("%s took %s", email, took)
		}
	}
}

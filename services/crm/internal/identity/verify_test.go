package identity

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/notice"
)

func (d *desk) verify(token string) answer {
	d.t.Helper()
	return d.call("POST", "/v1/auth/verify", "", map[string]any{"token": token})
}

func (d *desk) isVerified(id string) bool {
	d.t.Helper()
	return d.admin.call("GET", "/v1/users/"+id, nil).want(d.t, 200).body["email_verified_at"] != nil
}

func TestRegistrationMailsATokenThatVerifiesTheAddressOnce(t *testing.T) {
	d := newDesk(t)
	d.service.SendVerification = true
	for _, role := range []Role{RoleCustomer, RoleEngineer} {
		id, _ := d.register(role)
		if d.isVerified(id) {
			t.Errorf("%s: verified on registration", role)
		}
		token := d.tokenIn("email_verification", id)
		d.verify(token+"x").want(t, 401, "invalid_token")
		won := 0
		for _, a := range atOnce(10, func(int) answer { return d.verify(token) }) {
			if a.status == 204 {
				won++
			} else {
				a.want(t, 401, "invalid_token")
			}
		}
		if won != 1 || !d.isVerified(id) {
			t.Errorf("%s: used %d times, verified %v", role, won, d.isVerified(id))
		}
	}
	if n := d.count("select count(*) from audit_events where kind = 'email_verified'"); n != 2 {
		t.Errorf("%d audit events", n)
	}
}

func TestVerificationTokenEndsAfterADayAndWithItsAddress(t *testing.T) {
	d := newDesk(t)
	d.service.SendVerification = true
	id, _ := d.register(RoleCustomer)
	token := d.tokenIn("email_verification", id)
	d.exec("update users set email = 'moved@desk.test' where id = $1", id)
	d.verify(token).want(t, 401, "invalid_token")

	id, _ = d.register(RoleCustomer)
	token = d.tokenIn("email_verification", id)
	d.clock.advance(24*time.Hour + time.Second)
	d.verify(token).want(t, 401, "invalid_token")
}

func TestVerificationIsMailedThreeTimesAnHourAndNotToAVerifiedAddress(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	mails := "select count(*) from outbox where kind = 'email_verification'"
	for range 3 {
		c.call("POST", "/v1/auth/verify/resend", nil).want(t, 202)
	}
	a := c.call("POST", "/v1/auth/verify/resend", nil).want(t, 429, "rate_limited")
	if a.header.Get("Retry-After") == "" || d.count(mails) != 3 {
		t.Errorf("%d mails, %v", d.count(mails), a.header)
	}
	d.verify(d.tokenIn("email_verification", c.id)).want(t, 204)
	d.clock.advance(time.Hour + time.Minute)
	c.d, c = d, d.login(c.email, goodPassword)
	c.call("POST", "/v1/auth/verify/resend", nil).want(t, 202)
	if n := d.count(mails); n != 3 {
		t.Errorf("%d mails, one to a verified address", n)
	}
}

func TestMailedResetTokenVerifiesTheAddress(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	d.forgot(c.email).want(t, 202)
	if d.isVerified(c.id) { // the control
		t.Error("verified before the token was used")
	}
	d.reset(d.mailedToken(c.id), "another lamp in the hallway").want(t, 204)
	if !d.isVerified(c.id) {
		t.Error("not verified by a mailed token")
	}
}

func TestMailsToAnUnverifiedAddressHaveNoTextOfWhoRegistered(t *testing.T) {
	d := newDesk(t)
	d.service.SendVerification = true
	a := d.call("POST", "/v1/auth/register", "", map[string]any{
		"name": "Claim Your Prize", "email": "stranger@desk.test", "password": goodPassword,
	}).want(t, 201)
	d.forgot("stranger@desk.test").want(t, 202)
	rows, err := d.pool.Query(t.Context(), "select kind, data from outbox where reference = $1", a.str("id"))
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

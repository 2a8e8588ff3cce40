package identity

import (
	"testing"
	"time"
)

func (d *desk) refresh(token string) answer {
	d.t.Helper()
	return d.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": token})
}

func TestALostAnswerIsGivenAgainAndNeverASecondSuccessor(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	first := d.refresh(c.refreshWith).want(t, 200)
	d.clock.advance(9 * time.Second)
	again := d.refresh(c.refreshWith).want(t, 200)
	if first.str("refresh_token") != again.str("refresh_token") || first.str("refresh_token") == c.refreshWith {
		t.Error("another successor")
	}
	d.call("GET", "/v1/me", again.str("access_token"), nil).want(t, 200)
	d.refresh(again.str("refresh_token")).want(t, 200)
}

func TestASpentTokenEndsTheWholeSessionAfterTheGrace(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	elsewhere := d.login(c.email, goodPassword)
	next := d.refresh(c.refreshWith).want(t, 200)
	d.clock.advance(11 * time.Second)
	d.call("GET", "/v1/me", next.str("access_token"), nil).want(t, 200)
	d.refresh(c.refreshWith).want(t, 401, "invalid_token")
	for _, token := range []string{c.access, next.str("access_token")} {
		d.call("GET", "/v1/me", token, nil).want(t, 401, "invalid_token")
	}
	d.refresh(next.str("refresh_token")).want(t, 401, "invalid_token")
	elsewhere.call("GET", "/v1/me", nil).want(t, 200) // another session of the same user
	events := d.admin.call("GET", "/v1/audit?kind=refresh_reused&actor="+c.id, nil).want(t, 200).items(t)
	if len(events) != 1 {
		t.Errorf("%d events of the reuse", len(events))
	}
}

func TestTheGraceEndsWhenTheSuccessorIsUsed(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	next := d.refresh(c.refreshWith).want(t, 200)
	last := d.refresh(next.str("refresh_token")).want(t, 200)
	d.refresh(c.refreshWith).want(t, 401, "invalid_token") // within 10 s, but the answer was not lost
	d.call("GET", "/v1/me", last.str("access_token"), nil).want(t, 401, "invalid_token")
	d.refresh(last.str("refresh_token")).want(t, 401, "invalid_token")
}

func TestRefreshRefusesEverythingThatIsNoLivingToken(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	for name, token := range map[string]string{
		"unknown": newSecret().text(), "access token": c.access, "padded": c.refreshWith + "=", "cut": c.refreshWith[:42],
		"other alphabet": "+" + c.refreshWith[1:], "spaces": " ", "hash": string(newSecret().hash()[:8]),
	} {
		if a := d.refresh(token); a.status != 401 && a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	d.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": ""}).want(t, 422)
	d.call("GET", "/v1/me", c.refreshWith, nil).want(t, 401, "invalid_token")
	d.refresh(c.refreshWith).want(t, 200)
}

func TestRefreshTokensAreStoredAsHashesAlone(t *testing.T) {
	d := newDesk(t)
	c := d.approved(RoleCustomer)
	next := d.refresh(c.refreshWith).want(t, 200).str("refresh_token")
	for _, token := range []string{c.refreshWith, next} {
		s, err := parseSecret(token)
		if err != nil {
			t.Fatal(err)
		}
		if n := d.count("select count(*) from refresh_tokens where token_hash = $1", s.hash()); n != 1 {
			t.Errorf("%d rows with the hash", n)
		}
		if n := d.count(`select count(*) from refresh_tokens r where position($1::bytea in token_hash) > 0
			or position($1::bytea in coalesce(successor_sealed, '')) > 0 or position($2 in r::text) > 0`, s[:], token); n != 0 {
			t.Errorf("a token stands in %d rows", n)
		}
	}
}

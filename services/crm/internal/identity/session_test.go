package identity

import (
	"encoding/hex"
	"testing"
	"time"
)

func (env *testEnv) refresh(token string) answer {
	env.t.Helper()
	return env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": token})
}

func TestLostAnswerIsRepeatedWithTheSameSuccessor(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	first := env.refresh(c.refreshWith).want(t, 200)
	env.clock.advance(9 * time.Second)
	again := env.refresh(c.refreshWith).want(t, 200)
	if first.str("refresh_token") != again.str("refresh_token") || first.str("refresh_token") == c.refreshWith {
		t.Error("another successor")
	}
	env.call("GET", "/v1/me", again.str("access_token"), nil).want(t, 200)
	env.refresh(again.str("refresh_token")).want(t, 200)
}

func TestSpentTokenEndsTheSessionAfterTheGracePeriod(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	elsewhere := env.login(c.email, goodPassword)
	next := env.refresh(c.refreshWith).want(t, 200)
	env.clock.advance(11 * time.Second)
	env.call("GET", "/v1/me", next.str("access_token"), nil).want(t, 200)
	env.refresh(c.refreshWith).want(t, 401, "invalid_token")
	for _, token := range []string{c.access, next.str("access_token")} {
		env.call("GET", "/v1/me", token, nil).want(t, 401, "invalid_token")
	}
	env.refresh(next.str("refresh_token")).want(t, 401, "invalid_token")
	elsewhere.call("GET", "/v1/me", nil).want(t, 200) // another session of the same user
	events := env.admin.call("GET", "/v1/audit?kind=refresh_reused&actor="+c.id, nil).want(t, 200).items(t)
	if len(events) != 1 {
		t.Errorf("%d events of the reuse", len(events))
	}
}

func TestGracePeriodEndsWhenTheSuccessorIsUsed(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	next := env.refresh(c.refreshWith).want(t, 200)
	last := env.refresh(next.str("refresh_token")).want(t, 200)
	env.refresh(c.refreshWith).want(t, 401, "invalid_token") // within 10 s, but the answer was not lost
	env.call("GET", "/v1/me", last.str("access_token"), nil).want(t, 401, "invalid_token")
	env.refresh(last.str("refresh_token")).want(t, 401, "invalid_token")
}

func TestRefreshRefusesInvalidTokens(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	for name, token := range map[string]string{
		"unknown": newSecret().text(), "access token": c.access, "padded": c.refreshWith + "=", "cut": c.refreshWith[:42],
		"other alphabet": "+" + c.refreshWith[1:], "spaces": " ", "hash": hex.EncodeToString(newSecret().hash()),
	} {
		if a := env.refresh(token); a.status != 401 && a.status != 422 {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
	}
	env.call("POST", "/v1/auth/refresh", "", map[string]any{"refresh_token": ""}).want(t, 422)
	env.call("GET", "/v1/me", c.refreshWith, nil).want(t, 401, "invalid_token")
	env.refresh(c.refreshWith).want(t, 200)
}

func TestRefreshTokensAreStoredOnlyAsHashes(t *testing.T) {
	env := newTestEnv(t)
	c := env.approved(RoleCustomer)
	next := env.refresh(c.refreshWith).want(t, 200).str("refresh_token")
	for _, token := range []string{c.refreshWith, next} {
		s, err := parseSecret(token)
		if err != nil {
			t.Fatal(err)
		}
		if n := env.count("select count(*) from refresh_tokens where token_hash = $1", s.hash()); n != 1 {
			t.Errorf("%d rows with the hash", n)
		}
		if n := env.count(`select count(*) from refresh_tokens r where position($1::bytea in token_hash) > 0
			or position($1::bytea in coalesce(successor_sealed, '')) > 0 or position($2 in r::text) > 0`, s[:], token); n != 0 {
			t.Errorf("a token is in %d rows", n)
		}
	}
}

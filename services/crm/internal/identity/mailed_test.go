package identity

import (
	"strings"
	"testing"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func TestTokenThatComesBackByMailIsVoid(t *testing.T) {
	env := newTestEnv(t)
	env.service.SendVerification = true
	const next = "another lamp in the hallway"
	id, email := env.register(RoleCustomer)
	verification := env.tokenIn("email_verification", id)
	env.forgot(email).want(t, 202)
	reset := env.mailedToken(id)
	invited, _ := env.invite(RoleEngineer)
	invitation := env.tokenIn("invitation", invited)
	env.forgot(email).want(t, 202)
	other := env.mailedToken(id)

	links := notice.Links{PublicURL: "https://fixdesk.example"}
	quoted := notice.PasswordReset{Token: reset, ValidMinutes: 10}.Message(links).Text
	html := notice.Invitation{Token: invitation, Role: "engineer"}.Message(links).HTML
	text := "What is this?\n\n> " + strings.ReplaceAll(quoted, "\n", "\n> ") + "\n(" + verification + ")\n" + strings.Repeat("A", 43)
	if err := VoidMailedTokens(t.Context(), crmdb.New(env.pool), env.clock.now(), text, html); err != nil {
		t.Fatal(err)
	}
	env.reset(reset, next).want(t, 401, "invalid_token")
	env.reset(invitation, next).want(t, 401, "invalid_token")
	env.verify(verification).want(t, 401, "invalid_token")
	env.reset(other, next).want(t, 204) // the control: it was in no mail that came in
}

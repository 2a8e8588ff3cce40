package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/apitest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/notice"
)

func TestEveryOperationIsDescribedAndOnlyTheseArePublic(t *testing.T) {
	d, err := apitest.Load(t.Context(), newTestEnv(t).url)
	if err != nil {
		t.Fatal(err)
	}
	for _, defect := range d.Incomplete(
		"POST /v1/auth/register", "POST /v1/auth/login", "POST /v1/auth/refresh",
		"POST /v1/auth/password/forgot", "POST /v1/auth/password/reset", "POST /v1/auth/verify", "POST /v1/auth/token", "GET /.well-known/jwks.json",
		"GET /v1/unsubscribe", "POST /v1/unsubscribe",
	) {
		t.Error(defect)
	}
}

func TestGeneratedRequestsAreAnsweredAsDocumented(t *testing.T) {
	w := newTestEnv(t)
	d, err := apitest.Load(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	report, err := d.Run(t.Context(), apitest.Config{
		URL: w.url, Requests: trials.Count(400, 3000), Seed: 1,
		Tokens: w.allTokens, Known: w.known,
		Header: func(i int, h http.Header) {
			h.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255))
		},
		Away: needsNotificationService,
		Rare: func(id string) bool {
			return id == "logout" || id == "change-password" || needsNotificationService(id)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, defect := range report.Defects {
		if t.Error(defect); n == 20 {
			break
		}
	}
	unreached := slices.DeleteFunc(d.Unreached(report), needsNotificationService)
	if len(unreached) > 0 {
		t.Errorf("no generated request succeeded with %v", unreached)
	}
	t.Logf("%d requests, %d defects, by status %v", report.Requests, len(report.Defects), report.Statuses)
}

// needsNotificationService reports whether an operation asks the notification
// service, which is not running.
func needsNotificationService(id string) bool {
	return slices.Contains([]string{
		"list-ticket-notifications", "get-raw-comment-original", "get-raw-ticket-original", "get-raw-inbound-mail", "release-inbound-mail", "list-sent-notifications", "get-sent-notification", "list-recipients", "list-attempts",
		"cancel-notification", "retry-notification", "get-mail-queue", "list-delivery-reports",
		"list-suppressions", "add-suppression", "delete-suppression", "get-user-mail",
	}, id)
}

// allTokens restores the accounts of all personas and returns new tokens for
// them.
func (w *testEnv) allTokens() []string {
	w.t.Helper()
	w.newAdmin()
	clear(w.tokens)                  // requests may have ended any session
	for persona, id := range w.ids { // an admin's request may have moved an account to another address
		if _, err := w.sql.Exec(w.t.Context(), `update users set email = 'moved-' || id || '@fixdesk.test' where email = $1 and id <> $2`, w.emails[persona], id); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.sql.Exec(w.t.Context(), `update users set email = $1 where id = $2`, w.emails[persona], id); err != nil {
			w.t.Fatal(err)
		}
	}
	for sql, argument := range map[string]any{
		`delete from rate_limits where $1`: true,
		`update users set password_hash = (select password_hash from users where email = $1) where email like '%@fixdesk.test'`: w.emails["admin"],
	} {
		if _, err := w.sql.Exec(w.t.Context(), sql, argument); err != nil {
			w.t.Fatal(err)
		}
	}
	admin := w.login("admin")
	tokens := []string{"", admin, admin}
	for persona, role := range roles {
		w.ask("PATCH", "/v1/users/"+w.ids[persona], admin, `{"status":"approved"}`)
		w.ask("PATCH", "/v1/users/"+w.ids[persona], admin, `{"role":"`+role+`"}`)
		tokens = append(tokens, w.login(persona))
	}
	return tokens
}

// known has the values that exist, by the names of the operations' inputs.
func (w *testEnv) known() map[string][]string {
	w.t.Helper()
	things := w.prepare()
	admin := w.login("admin")
	session := w.ask("POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, w.emails["customer"], matrixPassword)).want(w.t, 200)
	w.ask("POST", "/v1/auth/password/forgot", "", fmt.Sprintf(`{"email":%q}`, w.emails["customer"])).want(w.t, 202)
	w.ask("POST", "/v1/auth/verify/resend", w.login("reporter"), "").want(w.t, 202)
	var verification string
	if err := w.sql.QueryRow(w.t.Context(), `select data->>'token' from outbox where kind = 'email_verification' and data ? 'token' order by id desc limit 1`).Scan(&verification); err != nil {
		w.t.Fatal(err)
	}
	var reset string
	if err := w.sql.QueryRow(w.t.Context(), `select data->>'token' from outbox where kind = 'password_reset' and data ? 'token' order by id desc limit 1`).Scan(&reset); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.sql.Exec(w.t.Context(), `update outbox set dead_at = now() where id = $1 and done_at is null`, things["outbox"]); err != nil {
		w.t.Fatal(err)
	}
	key := w.ask("POST", "/v1/keys", admin, `{"name":"Client","scopes":["notifications:read"]}`).want(w.t, 201)
	more := w.ask("GET", "/v1/users?limit=1", admin, "").want(w.t, 200)
	var secret []byte
	if err := w.sql.QueryRow(w.t.Context(), `select value from secrets where name = $1`, notice.UnsubscribeSecret).Scan(&secret); err != nil {
		w.t.Fatal(err)
	}
	unsubscribe := notice.Subscription{User: uuid.MustParse(w.ids["reporter"]), Kind: notice.KindTicketCommented}.Token(secret)
	return map[string][]string{
		"id":                {things["ticket"], things["ticket"], things["number"], things["user"], missingID},
		"get-attachment id": {things["attachment"], missingID}, "download-attachment id": {things["attachment"], missingID},
		"attachment_ids": {things["unattached"]}, "Range": {"bytes=0-1", "bytes=1-", "bytes=100-", "bytes=0-0,2-3", "pages=1"},
		"get-user id": {things["user"], missingID}, "erase-user id": {things["user_id"], missingID}, "end-user-sessions id": {things["user_id"], missingID},
		"export-user id": {things["user"], missingID}, "get-user-mail id": {things["user"], missingID}, "list-user-sessions id": {things["user"], missingID}, "change-user id": {things["user"], w.ids["customer"], w.ids["engineer"], missingID},
		"end-session id": {things["session"], missingID}, "retry-outbox-entry id": {things["outbox"], missingID},
		"get-key id": {things["key"], missingID}, "revoke-key id": {things["key"]}, "rotate-key id": {things["key"], missingID}, "networks": {"10.0.0.0/8", "2001:db8::/32"},
		"grant_type": {"client_credentials"}, "client_id": {key.str("id")}, "client_secret": {key.str("secret")}, "scope": {"notifications:read"},
		"expires_at": {time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "owner": {"all", w.ids["reporter"]},
		"comment_id": {things["held"], things["comment"]}, "follower_id": {things["follower"]}, "delete-comment comment_id": {things["comment"]},
		"get-inbound-mail id": {things["inbound"], missingID}, "get-raw-inbound-mail id": {things["inbound"], missingID},
		"release-inbound-mail id": {things["inbound"], missingID}, "refuse-inbound-mail id": {things["inbound"], missingID},
		"delete-comment id": {things["ticket"], things["number"]},
		"user_id":           {things["user_id"], things["user"], missingID},
		"assignee":          {"me", "none", w.ids["assignee"]}, "reporter": {"me", w.ids["reporter"]}, "engineer_id": {w.ids["assignee"], w.ids["engineer"], things["user"]},
		"email":    {w.fill("<fresh>", nil), w.emails["customer"], w.emails["reporter"]},
		"password": {matrixPassword}, "current_password": {matrixPassword}, "new_password": {matrixPassword},
		"refresh_token": {session.str("refresh_token")}, "token": {reset, verification}, "cursor": {more.str("next_cursor")},
		"get-subscription token": {unsubscribe}, "unsubscribe token": {unsubscribe}, "time_zone": {"UTC", "Europe/Berlin"},
		"actor": {w.ids["reporter"]}, "object": {w.ids["reporter"]}, "q": {"canarytitle", "#" + things["number"]},
		"from": {"2026-01-01"}, "to": {"2026-01-02"}, "If-Match": {"*", `"1", "2", "3"`},
	}
}

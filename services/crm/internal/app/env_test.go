package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/obs"
	"fixdesk/services/crm/internal/app"
	"fixdesk/services/crm/internal/identity"
)

const matrixPassword = "a lamp in the hallway"

// testEnv is the whole service with a user of each persona and the reporter's
// objects.
type testEnv struct {
	t      *testing.T
	app    *app.App
	url    string
	sql    *pgx.Conn
	emails map[string]string
	ids    map[string]string
	cell   int // counts the calls, to make unused addresses

	object map[string]string // what prepare made, until a call changes it
	tokens map[string]string // by persona, until a call may end a session
}

func newTestEnv(t *testing.T) *testEnv {
	ctx := context.Background()
	url := pgtest.NewPatientURL(t, db.CRM, "crm/migrations")
	t.Setenv("CRM_DATABASE_URL", url)
	t.Setenv("CRM_DATABASE_POOL_SIZE", "4") // each connection is warmed at the start
	t.Setenv("CRM_NOTIFICATION_URL", "http://127.0.0.1:1")
	t.Setenv("CRM_TICKETS_PER_HOUR", "1000000")
	t.Setenv("CRM_ATTACHMENT_QUOTA", "1000GiB")
	t.Setenv("CRM_TRUSTED_PROXIES", "127.0.0.0/8")
	for _, name := range []string{"CRM_RATE_LIMIT", "CRM_RATE_LIMIT_NETWORK"} {
		if os.Getenv(name) == "" {
			t.Setenv(name, "1000000+1000000")
		}
	}
	c, err := app.LoadConfig()
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(ctx, c, obs.NewLogger(io.Discard, slog.LevelError, obs.JSON), app.WithHashCost(identity.HashCost{Passes: 1, MemoryKiB: 64, Threads: 1}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpapi.NewServer("", a.Handler())
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	w := &testEnv{t: t, app: a, url: server.URL, emails: map[string]string{}, ids: map[string]string{}, tokens: map[string]string{}}
	if w.sql, err = pgx.Connect(ctx, url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sql.Close(context.Background()) })
	w.newAdmin()
	admin := w.login("admin")
	for persona, role := range roles {
		w.emails[persona] = persona + "@fixdesk.test"
		w.ids[persona] = w.ask("POST", "/v1/auth/register", "", fmt.Sprintf(
			`{"name":"Canary %s","email":%q,"password":%q,"role":%q}`, persona, w.emails[persona], matrixPassword, role)).str("id")
		if role == "engineer" {
			w.ask("POST", "/v1/registrations/"+w.ids[persona]+"/approve", admin, "").want(t, 200)
		}
	}
	return w
}

// roles are the roles of the personas who register.
var roles = map[string]string{
	"suspended": "customer", "reporter": "customer", "follower": "customer", "customer": "customer", "assignee": "engineer", "engineer": "engineer",
}

func (w *testEnv) newAdmin() {
	w.t.Helper()
	w.emails["admin"] = fmt.Sprintf("admin-%d@fixdesk.test", w.cell)
	if _, err := w.app.Users().CreateAdmin(context.Background(), w.emails["admin"], matrixPassword, "Admin"); err != nil {
		w.t.Fatal(err)
	}
}

type reply struct {
	status int
	text   string
	body   map[string]any
}

func (r reply) str(field string) string { s, _ := r.body[field].(string); return s }

func (r reply) want(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d, want %d: %s", r.status, status, r.text)
	}
	return r
}

func (w *testEnv) ask(method, path, token, body string) reply {
	w.t.Helper()
	w.cell++
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(body, "--file"):
		req.Header.Set("Content-Type", "multipart/form-data; boundary=file")
	case body != "":
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("X-Request-ID", "the-same")
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", w.cell>>8, w.cell&255))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return reply{status: res.StatusCode} // its body never ends
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := reply{status: res.StatusCode, text: string(data)}
	_ = json.Unmarshal(data, &r.body)
	return r
}

func (w *testEnv) login(persona string) (token string) {
	w.t.Helper()
	return w.ask("POST", "/v1/auth/login", "", fmt.Sprintf(`{"email":%q,"password":%q}`, w.emails[persona], matrixPassword)).want(w.t, 200).str("access_token")
}

// prepare makes the objects that the routes are called for.
func (w *testEnv) prepare() map[string]string {
	w.t.Helper()
	admin, reporter := w.token("admin"), w.token("reporter")
	upload := func() string {
		return w.ask("POST", "/v1/attachments", reporter, strings.ReplaceAll(matrix["POST /v1/attachments"].body, "a.txt", "canaryfile.txt")).want(w.t, 201).str("id")
	}
	attachment := upload()
	ticket := w.ask("POST", "/v1/tickets", reporter, `{"title":"canarytitle","description":"canarydescription","attachment_ids":["`+attachment+`"]}`).want(w.t, 201)
	path := "/v1/tickets/" + ticket.str("id")
	w.ask("POST", path+"/assign", admin, fmt.Sprintf(`{"engineer_id":%q}`, w.ids["assignee"])).want(w.t, 200)
	comment := w.ask("POST", path+"/comments", reporter, `{"body":"canarycomment"}`).want(w.t, 201)
	w.ask("POST", path+"/comments", admin, `{"body":"canaryinternal","internal":true}`).want(w.t, 201)
	session := w.ask("GET", "/v1/me/sessions?limit=1", reporter, "").want(w.t, 200)
	if _, err := w.sql.Exec(w.t.Context(), "delete from api_keys where user_id = $1 and created_at > (select min(created_at) from api_keys where user_id = $1)", w.ids["reporter"]); err != nil {
		w.t.Fatal(err)
	}
	key := w.ask("POST", "/v1/keys", reporter, `{"name":"Canary reporter","scopes":["tickets:read"]}`).want(w.t, 201)
	pending := w.ask("POST", "/v1/auth/register", "", fmt.Sprintf(`{"name":"Waiting","email":"waiting-%d@fixdesk.test","password":%q,"role":"engineer"}`, w.cell, matrixPassword)).want(w.t, 201)
	held, mail := w.heldMail(ticket.str("id"))
	return map[string]string{
		"held": held, "follower": w.ids["follower"], "inbound": mail,
		"attachment": attachment, "unattached": upload(), "ticket": ticket.str("id"), "comment": comment.str("id"), "user": w.ids["reporter"], "user_id": pending.str("id"), "outbox": w.outboxEntry(), "key": key.str("id"),
		"session": session.body["items"].([]any)[0].(map[string]any)["id"].(string),
		"number":  strconv.Itoa(int(ticket.body["number"].(float64))), "password": matrixPassword,
		"reporter email": w.emails["reporter"], "reporter id": w.ids["reporter"], "assignee id": w.ids["assignee"],
	}
}

// heldMail makes a ticket one that came by mail and has a follower, and returns its held
// comment and a held mail without one.
func (w *testEnv) heldMail(ticket string) (comment, mail string) {
	w.t.Helper()
	// Those that were let in are for the reporter.
	if _, err := w.sql.Exec(w.t.Context(), "update ticket_comments set body = 'let in' where body = 'canaryheld' and not internal"); err != nil {
		w.t.Fatal(err)
	}
	err := w.sql.QueryRow(w.t.Context(), `
		with comment as (
			insert into ticket_comments (id, ticket_id, author_id, body, internal, by_mail, created_at)
			values (gen_random_uuid(), $1, $2, 'canaryheld', true, true, now()) returning id
		), follower as (
			insert into ticket_followers (ticket_id, user_id, added_by, created_at) values ($1, $3, $4, now())
		), mails as (
			insert into inbound_mails (id, received_at, processed_at, outcome, content, ticket_id, comment_id)
			select gen_random_uuid(), now(), now(), m.outcome::inbound_outcome, 'canaryinternal', m.ticket, m.comment
			from (values ('ticket', $1, null::uuid), ('held', $1, (select id from comment)), ('held', null, null)) m (outcome, ticket, comment)
			returning id, ticket_id
		)
		select (select id::text from comment), (select id::text from mails where ticket_id is null)`,
		ticket, w.ids["engineer"], w.ids["follower"], w.ids["assignee"]).Scan(&comment, &mail)
	if err != nil {
		w.t.Fatal(err)
	}
	return comment, mail
}

// within replaces the parameters of a path that name something of a ticket.
func within(path string, object map[string]string) string {
	comment := object["held"]
	if strings.HasSuffix(path, "{comment_id}") {
		comment = object["comment"]
	}
	return strings.NewReplacer("{comment_id}", comment, "{follower_id}", object["follower"]).Replace(path)
}

// objects are those that the routes are called for, which no earlier call changed.
func (w *testEnv) objects() map[string]string {
	w.t.Helper()
	if w.object == nil {
		w.object = w.prepare()
	}
	return w.object
}

// additions are the operations that add something and change nothing else.
var additions = []string{
	"POST /v1/attachments", "POST /v1/auth/login", "POST /v1/auth/password/forgot", "POST /v1/auth/register", "POST /v1/auth/verify/resend",
	"POST /v1/keys", "POST /v1/tickets", "POST /v1/tickets/{id}/comments", "POST /v1/tickets/{id}/followers", "POST /v1/users",
}

// called forgets the objects and tokens that a call with this outcome may have
// changed: a refused call changes nothing.
func (w *testEnv) called(op, status string) {
	method, path, _ := strings.Cut(op, " ")
	if method == http.MethodGet || status[0] != '2' || slices.Contains(additions, op) {
		return
	}
	w.object = nil
	if strings.HasPrefix(path, "/v1/me") || strings.HasPrefix(path, "/v1/auth/") || strings.HasPrefix(path, "/v1/users/") {
		maps.DeleteFunc(w.tokens, func(persona, _ string) bool { return persona != "suspended" })
	}
}

// fill replaces the names in a template by the objects, and <fresh> by an address that
// nobody has.
func (w *testEnv) fill(template string, object map[string]string) string {
	for name, value := range object {
		template = strings.ReplaceAll(template, "<"+name+">", value)
	}
	return strings.ReplaceAll(template, "<fresh>", fmt.Sprintf("fresh-%d@fixdesk.test", w.cell))
}

// token returns a token of a persona.
func (w *testEnv) token(persona string) string {
	w.t.Helper()
	if w.tokens[persona] == "" {
		w.tokens[persona] = w.newToken(persona)
	}
	return w.tokens[persona]
}

func (w *testEnv) newToken(persona string) string {
	w.t.Helper()
	switch persona {
	case "anonymous":
		return ""
	case "suspended": // since the token was made
		admin, token, path := w.login("admin"), w.login(persona), "/v1/users/"+w.ids[persona]
		w.ask("PATCH", path, admin, `{"status":"suspended"}`).want(w.t, 200)
		w.ask("PATCH", path, admin, `{"status":"approved"}`).want(w.t, 200)
		return token
	}
	return w.login(persona)
}

func (w *testEnv) outboxEntry() (id string) {
	w.t.Helper()
	if err := w.sql.QueryRow(context.Background(), "select id::text from outbox where dead_at is null order by id desc limit 1").Scan(&id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// objectOf returns the name of the object of an operation's path parameter.
func objectOf(method, path string) string {
	switch {
	case method == http.MethodDelete && path == "/v1/users/{id}":
		return "user_id" // an erased user does not exist for the next cell
	case strings.HasPrefix(path, "/v1/tickets/"):
		return "ticket"
	case strings.HasPrefix(path, "/v1/users/"):
		return "user"
	case strings.HasPrefix(path, "/v1/attachments/"):
		return "attachment"
	case strings.HasPrefix(path, "/v1/me/sessions/"):
		return "session"
	case strings.HasPrefix(path, "/v1/keys/"):
		return "key"
	case strings.HasPrefix(path, "/v1/outbox/"):
		return "outbox"
	case strings.HasPrefix(path, "/v1/inbound/"):
		return "inbound"
	}
	return "user_id"
}

func withID(path, id string) string {
	return strings.NewReplacer("{id}", id, "{user_id}", id, "{recipient_id}", missingID, "{email}", "nobody@fixdesk.test").Replace(path)
}

const missingID = "01890000-0000-7000-8000-000000000000"

func operations(t *testing.T, w *testEnv) []string {
	t.Helper()
	doc := w.ask("GET", "/openapi.json", "", "").want(t, 200)
	var ops []string
	for path, item := range doc.body["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			ops = append(ops, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(ops)
	return ops
}

package app_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// personas call every route, in the order of the matrix's columns. The object
// that the route is called for is the reporter's: their ticket, their session, their
// API key, their account. The follower follows the ticket.
var personas = []string{"anonymous", "suspended", "reporter", "follower", "customer", "assignee", "engineer", "admin"}

// route is one row of the matrix: the statuses by persona, a single one where
// all get the same. query lists further queries to try for leaks.
type route struct {
	body  string
	want  string
	query []string
}

// matrix has one row for each operation of the OpenAPI document.
var matrix = map[string]route{
	"GET /.well-known/jwks.json":               {want: "200"},
	"POST /v1/auth/register":                   {want: "201", body: `{"name":"New","email":"<fresh>","password":"<password>"}`},
	"POST /v1/auth/login":                      {want: "200", body: `{"email":"<reporter email>","password":"<password>"}`},
	"POST /v1/auth/refresh":                    {want: "401", body: `{"refresh_token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`},
	"POST /v1/auth/password/forgot":            {want: "202", body: `{"email":"<fresh>"}`},
	"POST /v1/auth/password/reset":             {want: "401", body: `{"token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","password":"<password>"}`},
	"POST /v1/auth/token":                      {want: "400"}, // the client is authenticated by the form
	"POST /v1/auth/verify":                     {want: "401", body: `{"token":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`},
	"POST /v1/keys":                            {want: "401 401 201 201 201 201 201 201", body: `{"name":"Import","scopes":["tickets:read"]}`},
	"GET /v1/keys":                             {want: "401 401 200 200 200 200 200 200", query: []string{"?owner=all", "?owner=<reporter id>"}},
	"GET /v1/keys/{id}":                        {want: "401 401 200 404 404 404 404 200"},
	"DELETE /v1/keys/{id}":                     {want: "401 401 204 404 404 404 404 204"},
	"POST /v1/keys/{id}/rotate":                {want: "401 401 200 404 404 404 404 403", body: `{"overlap_seconds":0}`},
	"POST /v1/auth/verify/resend":              {want: "401 401 202 202 202 202 202 202"},
	"POST /v1/auth/logout":                     {want: "401 401 204 204 204 204 204 204"},
	"GET /v1/me":                               {want: "401 401 200 200 200 200 200 200"},
	"PATCH /v1/me":                             {want: "401 401 200 200 200 200 200 200", body: `{"name":"Renamed"}`},
	"GET /v1/me/preferences":                   {want: "401 401 200 200 200 200 200 200"},
	"PUT /v1/me/preferences":                   {want: "401 401 200 200 200 200 200 200", body: `{"events":{},"digest":"never","digest_hour":8,"time_zone":"UTC"}`},
	"GET /v1/unsubscribe":                      {want: "422", query: []string{"?token=AAAA"}}, // the token is in the query
	"POST /v1/unsubscribe":                     {want: "422"},
	"POST /v1/me/password":                     {want: "401 401 204 204 204 204 204 204", body: `{"current_password":"<password>","new_password":"<password>"}`},
	"GET /v1/me/sessions":                      {want: "401 401 200 200 200 200 200 200"},
	"DELETE /v1/me/sessions/{id}":              {want: "401 401 204 404 404 404 404 404"},
	"GET /v1/users":                            {want: "401 401 403 403 403 403 403 200", query: []string{"?q=Reporter", "?role=customer&status=approved"}},
	"GET /v1/users/{id}":                       {want: "401 401 403 403 403 403 403 200"},
	"POST /v1/users":                           {want: "401 401 403 403 403 403 403 201", body: `{"name":"Invited","email":"<fresh>","role":"engineer"}`},
	"DELETE /v1/users/{id}":                    {want: "401 401 403 403 403 403 403 204"},
	"GET /v1/users/{id}/sessions":              {want: "401 401 403 403 403 403 403 200"},
	"DELETE /v1/users/{id}/sessions":           {want: "401 401 403 403 403 403 403 204"},
	"GET /v1/users/{id}/export":                {want: "401 401 403 403 403 403 403 200"},
	"GET /v1/me/export":                        {want: "401 401 200 200 200 200 200 200"},
	"PATCH /v1/users/{id}":                     {want: "401 401 403 403 403 403 403 200", body: `{"name":"Renamed"}`},
	"GET /v1/registrations":                    {want: "401 401 403 403 403 403 403 200", query: []string{"?status=pending"}},
	"GET /v1/audit":                            {want: "401 401 403 403 403 403 403 200"},
	"GET /v1/outbox":                           {want: "401 401 403 403 403 403 403 200"},
	"POST /v1/outbox/{id}/retry":               {want: "401 401 403 403 403 403 403 409"},
	"POST /v1/attachments":                     {want: "401 401 201 201 201 201 201 201", body: "--file\r\nContent-Disposition: form-data; name=file; filename=a.txt\r\n\r\ntext\r\n--file--\r\n"},
	"GET /v1/attachments/{id}":                 {want: "401 401 200 200 404 200 200 200"},
	"GET /v1/attachments/{id}/content":         {want: "401 401 200 200 404 200 200 200"},
	"POST /v1/tickets":                         {want: "401 401 201 201 201 201 201 201", body: `{"title":"Another","description":"One more"}`},
	"GET /v1/tickets":                          {want: "401 401 200 200 200 200 200 200", query: ticketQueries},
	"GET /v1/tickets/counts":                   {want: "401 401 200 200 200 200 200 200", query: ticketQueries},
	"GET /v1/tickets/export":                   {want: "401 401 200 200 200 200 200 200", query: ticketQueries},
	"GET /v1/tickets/{id}":                     {want: "401 401 200 200 404 200 200 200"},
	"PATCH /v1/tickets/{id}":                   {want: "401 401 200 403 404 200 403 200", body: `{"title":"Changed"}`},
	"POST /v1/tickets/{id}/accept":             {want: "401 401 403 403 403 200 403 403"},
	"POST /v1/tickets/{id}/decline":            {want: "401 401 403 403 403 200 403 403", body: `{"reason":"I am no plumber."}`},
	"POST /v1/tickets/{id}/assign":             {want: "401 401 403 403 403 403 403 200", body: `{"engineer_id":null}`},
	"GET /v1/tickets/{id}/comments":            {want: "401 401 200 200 404 200 200 200"},
	"POST /v1/tickets/{id}/comments":           {want: "401 401 201 201 404 201 201 201", body: `{"body":"Hello"}`},
	"GET /v1/tickets/{id}/events":              {want: "401 401 200 200 404 200 200 200"},
	"GET /v1/tickets/{id}/notifications":       {want: "401 401 403 403 403 503 503 503"}, // the notification service is not running,
	"GET /v1/reports/tickets":                  {want: "401 401 403 403 403 403 403 200"},
	"GET /v1/events":                           {want: "401 401 200 200 200 200 200 200"},
	"POST /v1/registrations/{user_id}/approve": {want: "401 401 403 403 403 403 403 200"},
	"POST /v1/registrations/{user_id}/reject":  {want: "401 401 403 403 403 403 403 200", body: `{"reason":"No."}`},
	"GET /v1/engineers":                        {want: "401 401 403 403 403 200 200 200"},

	// The notification service is not running.
	"GET /v1/operations/queue":                      {want: "401 401 403 403 403 403 403 503"},
	"GET /v1/operations/notifications":              {want: "401 401 403 403 403 403 403 503"},
	"GET /v1/operations/notifications/{id}":         {want: "401 401 403 403 403 403 403 503"},
	"POST /v1/operations/notifications/{id}/cancel": {want: "401 401 403 403 403 403 403 503"},
	"POST /v1/operations/notifications/{id}/retry":  {want: "401 401 403 403 403 403 403 503"},

	"GET /v1/operations/notifications/{id}/recipients":                         {want: "401 401 403 403 403 403 403 503"},
	"GET /v1/operations/notifications/{id}/recipients/{recipient_id}/attempts": {want: "401 401 403 403 403 403 403 503"},
	"GET /v1/operations/notifications/{id}/recipients/{recipient_id}/reports":  {want: "401 401 403 403 403 403 403 503"},

	"GET /v1/operations/suppressions":            {want: "401 401 403 403 403 403 403 503"},
	"POST /v1/operations/suppressions":           {want: "401 401 403 403 403 403 403 503", body: `{"email":"<fresh>","reason":"The mailbox is closed"}`},
	"DELETE /v1/operations/suppressions/{email}": {want: "401 401 403 403 403 403 403 503"},
	"GET /v1/users/{id}/mail":                    {want: "401 401 403 403 403 503 503 503"},

	"DELETE /v1/tickets/{id}/comments/{comment_id}": {want: "401 401 403 403 403 403 403 204"},

	"GET /v1/tickets/{id}/followers":                  {want: "401 401 403 403 403 200 200 200"},
	"POST /v1/tickets/{id}/followers":                 {want: "401 401 403 403 403 201 201 201", body: `{"email":"<fresh>"}`},
	"DELETE /v1/tickets/{id}/followers/{follower_id}": {want: "401 401 403 403 403 204 204 204"},

	"GET /v1/tickets/{id}/original":                           {want: "401 401 403 403 403 200 200 200"},
	"GET /v1/tickets/{id}/original/raw":                       {want: "401 401 403 403 403 503 503 503"},
	"GET /v1/tickets/{id}/comments/{comment_id}/original":     {want: "401 401 403 403 403 200 200 200"},
	"GET /v1/tickets/{id}/comments/{comment_id}/original/raw": {want: "401 401 403 403 403 503 503 503"},
	"POST /v1/tickets/{id}/comments/{comment_id}/release":     {want: "401 401 403 403 403 204 403 204"},
	"POST /v1/tickets/{id}/comments/{comment_id}/refuse":      {want: "401 401 403 403 403 204 403 204"},
	"GET /v1/inbound":               {want: "401 401 403 403 403 403 403 200", query: []string{"?outcome=held"}},
	"GET /v1/inbound/{id}":          {want: "401 401 403 403 403 403 403 200"},
	"GET /v1/inbound/{id}/raw":      {want: "401 401 403 403 403 403 403 503"},
	"POST /v1/inbound/{id}/refuse":  {want: "401 401 403 403 403 403 403 200"},
	"POST /v1/inbound/{id}/release": {want: "401 401 403 403 403 403 403 503"},
}

var ticketQueries = []string{
	"?follower=me", "?follower=<follower>", "?q=canarytitle", "?q=canarydescription", "?q=canarycomment", "?q=canaryinternal", "?q=%23<number>", "?active=true", "?assignee=<assignee id>", "?reporter=<reporter id>",
}

// hidden are the words that must not reach a persona, by any route.
func hidden(persona string) []string {
	switch persona {
	case "anonymous", "suspended", "customer":
		return []string{"canarytitle", "canarydescription", "canarycomment", "canaryfile", "canaryinternal", "canaryheld", "reporter@fixdesk.test", "Canary reporter", "Canary assignee"}
	case "reporter", "follower":
		return []string{"canaryinternal", "canaryheld", "assignee@fixdesk.test", "customer@fixdesk.test", "active_tickets", "candidates", others[persona]}
	}
	return []string{"argon2id"}
}

// others are what a reporter and a follower must not read of each other.
var others = map[string]string{"reporter": "follower@fixdesk.test", "follower": "reporter@fixdesk.test"}

func TestEveryRouteForEveryRoleAndOwner(t *testing.T) {
	w := newTestEnv(t)
	ops := operations(t, w)
	if rows := slices.Sorted(maps.Keys(matrix)); !slices.Equal(ops, rows) {
		t.Fatalf("the matrix has %d rows, the OpenAPI document %d operations: each needs one\nonly here: %v\nonly there: %v",
			len(rows), len(ops), without(rows, ops), without(ops, rows))
	}
	cells := 0
	for _, op := range ops {
		want := strings.Fields(matrix[op].want)
		if len(want) == 1 {
			want = slices.Repeat(want, len(personas))
		}
		for i, persona := range personas {
			object, token := w.objects(), w.token(persona)
			w.try(op, persona, token, want[i], object)
			w.tryNumber(op, persona, token, want[i])
			cells++
		}
	}
	t.Logf("%d operations × %d personas = %d cells", len(ops), len(personas), cells)
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

// try tests one cell: the answer has the status and no hidden word, and a foreign
// object is answered like a missing one.
func (w *testEnv) try(op, persona, token, want string, object map[string]string) {
	w.t.Helper()
	defer w.called(op, want)
	method, path, _ := strings.Cut(op, " ")
	path = within(path, object)
	body := w.fill(matrix[op].body, object)
	got := w.ask(method, withID(path, object[objectOf(method, path)]), token, body)
	if strconv.Itoa(got.status) != want {
		w.t.Errorf("%s by %s: %d, want %s: %s", op, persona, got.status, want, got.text)
	}
	replies := []reply{got}
	for _, query := range matrix[op].query {
		replies = append(replies, w.ask(method, path+w.fill(query, object), token, body))
	}
	for _, r := range replies {
		for _, word := range hidden(persona) {
			// A ticket that the persona raises is assigned to any engineer.
			own := word == "Canary assignee" && op == "POST /v1/tickets"
			if strings.Contains(r.text, word) && !own && !strings.HasPrefix(path, "/v1/auth/") {
				w.t.Errorf("%s shows %s the word %q: %s", op, persona, word, r.text)
			}
		}
	}
	if op == "POST /v1/tickets" && got.status == http.StatusCreated && persona == "customer" {
		// The totals of what the customer sees name its engineer.
		w.ask("POST", "/v1/tickets/"+got.str("id")+"/assign", w.token("admin"), fmt.Sprintf(`{"engineer_id":%q}`, w.ids["engineer"])).want(w.t, 200)
	}
	// These may see that it exists.
	sees := persona == "assignee" || persona == "engineer" || persona == "admin" || persona == "follower" && op == "PATCH /v1/tickets/{id}"
	if strings.Contains(path, "{") && (want == "401" || want == "404" || want == "403" && !sees) {
		missing := w.ask(method, withID(path, missingID), token, body)
		if missing.text != got.text {
			w.t.Errorf("%s by %s: a foreign object is answered unlike a missing one:\n%s\n%s", op, persona, got.text, missing.text)
		}
	}
}

// tryNumber tests one cell again with the number of a ticket in place of its id.
func (w *testEnv) tryNumber(op, persona, token, want string) {
	w.t.Helper()
	method, path, _ := strings.Cut(op, " ")
	if !strings.HasPrefix(path, "/v1/tickets/{id}") {
		return
	}
	defer w.called(op, want)
	object := w.objects()
	path = within(path, object)
	body := w.fill(matrix[op].body, object)
	got := w.ask(method, withID(path, object["number"]), token, body)
	if strconv.Itoa(got.status) != want {
		w.t.Errorf("%s by %s with the number: %d, want %s: %s", op, persona, got.status, want, got.text)
	}
	if missing := w.ask(method, withID(path, "999999999"), token, body); want == "404" && got.text != missing.text {
		w.t.Errorf("%s by %s with the number: a foreign ticket is answered unlike a missing one:\n%s\n%s", op, persona, got.text, missing.text)
	}
}

// The control: the search for hidden words finds them where they are allowed.
func TestControlMatrixDetectsALeak(t *testing.T) {
	w := newTestEnv(t)
	token, object := w.token("assignee"), w.prepare()
	for path, word := range map[string]string{
		"/v1/tickets?q=canaryinternal":                  "canarytitle",
		"/v1/tickets/" + object["ticket"] + "/comments": "canaryinternal",
		"/v1/tickets/" + object["ticket"] + "/events":   "Canary assignee",
	} {
		if r := w.ask("GET", path, token, ""); !strings.Contains(r.text, word) {
			t.Errorf("%s has no %q: %s", path, word, r.text)
		}
	}
}

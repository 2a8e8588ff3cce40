package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// generatedEnv names the variable that says how many requests are generated;
// 100000 is what a release is measured by.
const generatedEnv = "FIXDESK_GENERATED_REQUESTS"

// generator makes requests out of the OpenAPI document: right ones, nearly right
// ones, and nonsense. The same seed makes the same requests.
type generator struct {
	*rand.Rand
	doc    document
	ops    []operation
	known  []string // ids of things that exist
	tokens []string
}

type operation struct {
	method, path string
	described    map[string]any
}

func (d document) operations() (ops []operation) {
	for path, item := range object(d["paths"]) {
		for method, described := range object(item) {
			ops = append(ops, operation{strings.ToUpper(method), path, object(described)})
		}
	}
	slices.SortFunc(ops, func(a, b operation) int { return strings.Compare(a.method+a.path, b.method+b.path) })
	return ops
}

// nasty are texts that have broken something somewhere.
var nasty = []string{
	"", " ", "\x00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "%", "_", `\`, `%\`, "'", `"`, "''; drop table users; --", "1e400", "-1", "0", "9223372036854775808",
	"NaN", "null", "true", "[]", "{}", "../../etc/passwd", "%00", "\r\nX-Injected: yes", "<script>alert(1)</script>", "${jndi:ldap://x}", "\u202e", "\u2028",
	"& | ! ( ) :* <->", "a & ", "\"unclosed", "#42", "#99999999999999999999", "me", "none", "2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
	"infinity", "-infinity", "294277-01-01T00:00:00Z", "00000000-0000-0000-0000-000000000000", "{01890000-0000-7000-8000-000000000000}", "urn:uuid:01890000-0000-7000-8000-000000000000",
	strings.Repeat("a", 300), strings.Repeat("é", 300), "a@b.test", "A@[127.0.0.1]", "x@y.test, z@y.test", "😀", "e\u0301", "İ",
}

func (g *generator) text() string {
	switch g.IntN(4) {
	case 0:
		return g.known[g.IntN(len(g.known))]
	case 1:
		return "word " + strconv.Itoa(g.IntN(1000))
	}
	return nasty[g.IntN(len(nasty))]
}

// raw is a JSON value, not always valid.
var raw = []string{
	"null", "true", "1", "-1", "1e400", "1.5", "9223372036854775808", `""`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800"`, "\"\xff\"", "[]", "{}", `[null]`, `{"a":1,"a":2}`,
	`"` + strings.Repeat("é", 30000) + `"`, strings.Repeat("[", 10000) + strings.Repeat("]", 10000), strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500), "tru", "'x'", "01", "//", "NaN", "\xef\xbb\xbf1",
}

// value makes JSON for a schema: mostly what it describes.
func (g *generator) value(schema map[string]any) string {
	if g.IntN(8) == 0 {
		return raw[g.IntN(len(raw))]
	}
	schema = g.doc.resolve(schema)
	if options, ok := schema["anyOf"].([]any); ok {
		return g.value(object(options[g.IntN(len(options))]))
	}
	if enum, ok := schema["enum"].([]any); ok {
		data, _ := json.Marshal(enum[g.IntN(len(enum))])
		return string(data)
	}
	kind := schema["type"]
	if kinds, ok := kind.([]any); ok {
		kind = kinds[g.IntN(len(kinds))]
	}
	switch kind {
	case "object":
		return g.objectOf(schema)
	case "array":
		return "[" + g.value(object(schema["items"])) + "]"
	case "boolean":
		return strconv.FormatBool(g.IntN(2) == 0)
	case "integer", "number":
		return strconv.Itoa(g.IntN(200) - 50)
	case "null":
		return "null"
	}
	data, _ := json.Marshal(g.text())
	return string(data)
}

func (g *generator) objectOf(schema map[string]any) string {
	var members []string
	properties := object(schema["properties"])
	names := make([]string, 0, len(properties))
	for name := range properties {
		names = append(names, name)
	}
	slices.Sort(names)
	required, _ := schema["required"].([]any)
	for _, name := range names {
		if !slices.Contains(required, any(name)) && g.IntN(2) == 0 || g.IntN(30) == 0 {
			continue
		}
		members = append(members, fmt.Sprintf("%q:%s", name, g.value(object(properties[name]))))
		if g.IntN(40) == 0 {
			members = append(members, fmt.Sprintf("%q:%s", strings.ToUpper(name), g.value(object(properties[name]))))
		}
	}
	if g.IntN(15) == 0 {
		members = append(members, `"`+[]string{"role", "status", "id", "assignee_id", "$schema", "version"}[g.IntN(6)]+`":"admin"`)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (g *generator) request(ctx context.Context, base string, op operation) *http.Request {
	path, query, header := op.path, url.Values{}, http.Header{}
	parameters, _ := op.described["parameters"].([]any)
	for _, p := range parameters {
		name, in := object(p)["name"].(string), object(p)["in"]
		text := g.text()
		if enum, ok := object(object(p)["schema"])["enum"].([]any); ok && g.IntN(3) > 0 {
			text = fmt.Sprint(enum[g.IntN(len(enum))])
		}
		switch {
		case in == "path":
			if g.IntN(3) > 0 {
				text = g.known[g.IntN(len(g.known))]
			}
			path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(text))
		case in == "query" && g.IntN(3) == 0:
			query.Add(name, text)
		case in == "header" && g.IntN(3) == 0:
			header.Set(name, strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text))
		}
	}
	if g.IntN(20) == 0 {
		query.Add(g.text(), g.text())
	}
	target := base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var body io.Reader
	if content := object(object(op.described["requestBody"])["content"]); len(content) > 0 {
		text := g.value(object(object(content["application/json"])["schema"]))
		if g.IntN(20) == 0 {
			text += raw[g.IntN(len(raw))]
		}
		body = strings.NewReader(text)
		header.Set("Content-Type", "application/json")
	}
	req, err := http.NewRequestWithContext(ctx, op.method, target, body)
	if err != nil {
		return nil // a path that no client could send
	}
	req.Header = header
	if token := g.tokens[g.IntN(len(g.tokens))]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req
}

func TestGeneratedRequestsNeverFailTheServiceNorBreakTheDocument(t *testing.T) {
	count := 3000
	if text := os.Getenv(generatedEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s must be a number", generatedEnv)
		}
		count = n
	}
	w := newWorld(t)
	doc := document(w.ask("GET", "/openapi.json", "", "").want(t, 200).body)
	g := &generator{Rand: rand.New(rand.NewPCG(1, 2)), doc: doc, ops: doc.operations()}
	statuses := map[int]int{}
	for i := range count {
		if i%50 == 0 { // what was changed or ended meanwhile
			w.recover(g)
		}
		op := g.ops[g.IntN(len(g.ops))]
		if op.path == "/v1/auth/logout" && g.IntN(10) > 0 {
			continue // it would leave few who are signed in
		}
		req := g.request(t.Context(), w.url, op)
		if req == nil {
			continue
		}
		req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
		statuses[w.judge(doc, op, req)]++
	}
	t.Logf("%d requests, by status: %v", count, statuses)
	for _, status := range []int{200, 201, 204, 401, 403, 404, 422} {
		if statuses[status] == 0 {
			t.Errorf("no request was answered %d: the generator covers too little", status)
		}
	}
}

// recover lets the personas in again and finds what exists.
func (w *world) recover(g *generator) {
	w.t.Helper()
	if _, err := w.sql.Exec(w.t.Context(), "delete from rate_limits"); err != nil {
		w.t.Fatal(err)
	}
	w.newAdmin() // the one before may have been suspended
	admin := w.login("admin")
	for persona, role := range roles {
		path := "/v1/users/" + w.ids[persona]
		w.ask("PATCH", path, admin, `{"status":"approved"}`)
		w.ask("PATCH", path, admin, fmt.Sprintf(`{"role":%q}`, role)).want(w.t, 200)
	}
	things := w.prepare()
	g.known = []string{things["ticket"], things["user"], things["user_id"], things["outbox"], things["session"], missingID, w.ids["stranger"], w.ids["engineer"]}
	g.tokens = []string{"", "x.y.z", admin, admin, admin}
	for _, persona := range []string{"reporter", "stranger", "assignee", "engineer"} {
		g.tokens = append(g.tokens, w.login(persona))
	}
}

// judge sends the request and compares the answer with the document.
func (w *world) judge(doc document, op operation, req *http.Request) int {
	w.t.Helper()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	res, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		w.t.Errorf("%s %s: %v", op.method, op.path, err)
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	what := fmt.Sprintf("%s %s: %d", req.Method, req.URL.RequestURI(), res.StatusCode)
	away := op.path == "/v1/tickets/{id}/notifications" // the notification service isn't there
	if res.StatusCode >= 500 && !(away && res.StatusCode == 503) {
		w.t.Error(what)
	}
	mediaType, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	described := object(op.described["responses"])[strconv.Itoa(res.StatusCode)]
	if described == nil {
		// A path that no longer matches the operation, or a body that can't be read.
		if res.StatusCode != 404 && res.StatusCode != 405 && res.StatusCode != 400 {
			w.t.Errorf("%s is not described", what)
		}
		return res.StatusCode
	}
	content := object(object(object(described)["content"])[mediaType])
	if mediaType == "text/event-stream" || mediaType == "text/csv" {
		return res.StatusCode
	}
	data, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Errorf("%s: %v", what, err)
	}
	if len(data) == 0 {
		if len(object(object(described)["content"])) > 0 {
			w.t.Errorf("%s: no body, but one is described", what)
		}
		return res.StatusCode
	}
	var body any
	if err := json.Unmarshal(data, &body); err != nil {
		w.t.Errorf("%s: not JSON: %v", what, err)
	} else if content == nil {
		w.t.Errorf("%s: %q is not described", what, mediaType)
	} else if problem := doc.breaks(object(content["schema"]), body, "body"); problem != "" {
		w.t.Errorf("%s breaks the document: %s\n%s", what, problem, data)
	}
	return res.StatusCode
}

// The control: answers that differ from the document in one thing are seen.
func TestTheDocumentCheckSeesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	doc := document(w.ask("GET", "/openapi.json", "", "").want(t, 200).body)
	schema := map[string]any{"$ref": "#/components/schemas/UserBody"}
	good := w.ask("GET", "/v1/users/"+w.ids["reporter"], w.login("admin"), "").want(t, 200).body
	if problem := doc.breaks(schema, good, "user"); problem != "" {
		t.Fatal(problem)
	}
	for name, value := range map[string]any{"id": "no id", "role": "owner", "created_at": "yesterday", "name": nil, "extra": true, "email": 1.5} {
		bad := map[string]any{}
		for k, v := range good {
			bad[k] = v
		}
		bad[name] = value
		if doc.breaks(schema, bad, "user") == "" {
			t.Errorf("%s: %v is not seen", name, value)
		}
	}
	delete(good, "email")
	if doc.breaks(schema, good, "user") == "" {
		t.Error("a missing field is not seen")
	}
}

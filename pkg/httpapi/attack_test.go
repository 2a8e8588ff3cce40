package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"

	"github.com/google/uuid"
)

// canary is in every value that is refused; it must be in no answer.
const canary = "c4n4ry"

func TestInvalidBodyIsRefusedWithoutRepeatingIt(t *testing.T) {
	f := newFixture(t, nil)
	nested := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	tests := []struct {
		name, body string
		status     int
		code       string
		locations  string // separated by commas, "" when there are none
	}{
		{"no JSON", canary, 400, errs.CodeMalformedJSON, ""},
		{"cut off", `{"title":"` + canary, 400, errs.CodeMalformedJSON, ""},
		{"trailing object", `{"title":"a"}{"title":"` + canary + `"}`, 400, errs.CodeMalformedJSON, ""},
		{"trailing comma", `{"title":"` + canary + `",}`, 400, errs.CodeMalformedJSON, ""},
		{"duplicate key", `{"title":"a","title":"` + canary + `"}`, 400, errs.CodeMalformedJSON, ""},
		{"duplicate key, escaped", `{"title":"a","t\u0069tle":"` + canary + `"}`, 400, errs.CodeMalformedJSON, ""},
		{"invalid UTF-8", `{"title":"` + canary + "\xff\"}", 400, errs.CodeMalformedJSON, ""},
		{"overlong UTF-8", `{"title":"` + canary + "\xc0\x80\"}", 400, errs.CodeMalformedJSON, ""},
		{"raw NUL", `{"title":"` + canary + "\x00\"}", 400, errs.CodeMalformedJSON, ""},
		{"escaped NUL", `{"title":"` + canary + `\u0000"}`, 400, errs.CodeMalformedJSON, ""},
		{"escaped NUL in a key", `{"` + canary + `\u0000":1}`, 400, errs.CodeMalformedJSON, ""},
		{"lone high surrogate", `{"title":"` + canary + `\ud800"}`, 400, errs.CodeMalformedJSON, ""},
		{"lone low surrogate", `{"title":"` + canary + `\udc00"}`, 400, errs.CodeMalformedJSON, ""},
		{"reversed surrogates", `{"title":"\udc00\ud800"}`, 400, errs.CodeMalformedJSON, ""},
		{"raw line feed in a string", "{\"title\":\"" + canary + "\n\"}", 400, errs.CodeMalformedJSON, ""},
		{"65 deep", `{"title":` + nested + `}`, 400, errs.CodeMalformedJSON, ""},
		{"10,000 deep", strings.Repeat(`{"a":`, 10_000), 400, errs.CodeMalformedJSON, ""},
		{"1e400", `{"title":"a","count":1e400}`, 400, errs.CodeMalformedJSON, ""},
		{"NaN", `{"title":"a","count":NaN}`, 400, errs.CodeMalformedJSON, ""},
		{"leading zero", `{"title":"a","count":01}`, 400, errs.CodeMalformedJSON, ""},
		{"byte order mark", "\ufeff{}", 400, errs.CodeMalformedJSON, ""},
		{"white space alone", " ", 400, errs.CodeMalformedJSON, ""},
		{"wrong case", `{"Title":"` + canary + `"}`, 422, errs.CodeValidationFailed, "body.Title,body.title"},
		{"unknown field", `{"title":"a","assignee_id":"` + canary + `"}`, 422, errs.CodeValidationFailed, "body.assignee_id"},
		{"unknown field with a name of its own", `{"title":"a","<` + canary + `>":1}`, 422, errs.CodeValidationFailed, "body"},
		{"unknown field with a long name", `{"title":"a","` + strings.Repeat(canary, 100) + `":1}`, 422, errs.CodeValidationFailed, "body"},
		{"missing field", `{}`, 422, errs.CodeValidationFailed, "body.title"},
		{"too short", `{"title":""}`, 422, errs.CodeValidationFailed, "body.title"},
		{"too long", `{"title":"` + strings.Repeat(canary, 4) + `"}`, 422, errs.CodeValidationFailed, "body.title"},
		{"wrong type", `{"title":["` + canary + `"]}`, 422, errs.CodeValidationFailed, "body.title"},
		{"null for a required field", `{"title":null}`, 422, errs.CodeValidationFailed, "body.title"},
		{"null for an optional field", `{"title":"a","priority":null}`, 422, errs.CodeValidationFailed, "body.priority"},
		{"null in a list", `{"title":"a","tags":["b",null]}`, 422, errs.CodeValidationFailed, "body.tags[1]"},
		{"null body", `null`, 422, errs.CodeValidationFailed, "body"},
		{"list body", `["` + canary + `"]`, 422, errs.CodeValidationFailed, "body"},
		{"not in the list", `{"title":"a","priority":"` + canary + `"}`, 422, errs.CodeValidationFailed, "body.priority"},
		{"out of int32", `{"title":"a","count":4294967296}`, 422, errs.CodeValidationFailed, "body"},
		{"out of int64", `{"title":"a","count":99999999999999999999}`, 422, errs.CodeValidationFailed, "body"},
		{"fraction", `{"title":"a","count":1.5}`, 422, errs.CodeValidationFailed, "body.count"},
		{"negative", `{"title":"a","count":-1}`, 422, errs.CodeValidationFailed, "body.count"},
		{"offset of 24 hours", `{"title":"a","due":"2026-01-01T00:00:00+24:00"}`, 422, errs.CodeValidationFailed, "body.due"},
		{"offset of 24 hours, the name escaped", `{"title":"a","d\u0075e":"2026-01-01T00:00:00+24:00"}`, 422, errs.CodeValidationFailed, "body.due"},
		{"comma before the fraction", `{"title":"a","due":"2026-01-01T00:00:00,5Z"}`, 422, errs.CodeValidationFailed, "body.due"},
		{"hour of one digit", `{"title":"a","due":"2026-01-01T1:00:00Z"}`, 422, errs.CodeValidationFailed, "body.due"},
		{"no UUID in a list", `{"title":"a","parents":["` + canary + `"]}`, 422, errs.CodeValidationFailed, "body.parents[0]"},
		{"two things", `{"title":"","count":-1}`, 422, errs.CodeValidationFailed, "body.count,body.title"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := f.send(t, "POST", "/v1/things", tt.body)
			p := wantProblem(t, res, body, tt.status, tt.code)
			var locations []string
			for _, e := range p.Errors {
				locations = append(locations, e.Location)
				if e.Message == "" || strings.HasPrefix(e.Message, "expected") {
					t.Errorf("message %q", e.Message)
				}
			}
			if got := strings.Join(locations, ","); got != tt.locations {
				t.Errorf("locations %q, want %q: %s", got, tt.locations, body)
			}
			if bytes.Contains(body, []byte(canary)) {
				t.Errorf("the answer repeats the input: %s", body)
			}
		})
	}
	if strings.Contains(f.log.String(), canary) {
		t.Error("the log repeats the input")
	}
}

func TestValidBodyIsAccepted(t *testing.T) {
	f := newFixture(t, nil)
	for _, body := range []string{
		`{"title":"a"}`, " {\"title\" : \"a\"}\r\n", `{"title":"\ud83d\ude00é"}`, `{"title":"a","note":null}`,
		`{"title":"a","due":"2026-01-01T00:00:00.25+23:59"}`, `{"title":"a","parents":["01989c1e-8b2c-7d10-9f3a-5b6c7d8e9f00"]}`,
		`{"title":"a","count":2147483647,"tags":[],"priority":"high"}`, `{"title":"` + strings.Repeat("é", 20) + `"}`,
		`{"title":"a"}` + strings.Repeat(" ", 1<<20-len(`{"title":"a"}`)),
	} {
		if res, answer := f.send(t, "POST", "/v1/things", body); res.StatusCode != 201 {
			t.Errorf("%.60s: %d %s", body, res.StatusCode, answer)
		}
	}
	for _, contentType := range []string{"application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"} {
		if res, answer := f.send(t, "POST", "/v1/things", `{"title":"a"}`, "Content-Type: "+contentType); res.StatusCode != 201 {
			t.Errorf("%s: %d %s", contentType, res.StatusCode, answer)
		}
	}
}

func TestProblemWithManyUnknownFieldsIsShort(t *testing.T) {
	f := newFixture(t, nil)
	var body strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&body, `,"field%d":1`, i)
	}
	res, answer := f.send(t, "POST", "/v1/things", `{"title":"a"`+body.String()+`}`)
	if p := wantProblem(t, res, answer, 422, errs.CodeValidationFailed); len(p.Errors) != 50 {
		t.Errorf("%d errors", len(p.Errors))
	}
}

func TestMediaTypesOtherThanJSONAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	for _, header := range []string{
		"Content-Type: -", "Content-Type: text/plain", "Content-Type: application/xml", "Content-Type: application/x-www-form-urlencoded",
		"Content-Type: application/merge-patch+json", "Content-Type: application/json; charset=latin1", "Content-Type: application/json; q",
		"Content-Type: multipart/form-data; boundary=x", "Content-Type: json", "Content-Type: application/json, text/plain",
		"Content-Encoding: gzip", "+: Content-Type=application/json",
	} {
		res, body := f.send(t, "POST", "/v1/things", `{"title":"a"}`, header)
		if p := wantProblem(t, res, body, 415, errs.CodeUnsupportedMediaType); p.Code == "" {
			t.Errorf("for %s", header)
		}
	}
}

func TestBodyIsRequiredWhereThereIsOneAndRefusedWhereThereIsNone(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.send(t, "POST", "/v1/things", "", "Content-Type: application/json")
	wantProblem(t, res, body, 400, errs.CodeMalformedJSON)
	accept := "/v1/things/" + uuid.NewString() + "/accept"
	for _, ok := range []string{"", "{}", " {} \n"} {
		if res, body := f.send(t, "POST", accept, ok); res.StatusCode != 204 || len(body) > 0 {
			t.Errorf("%q: %d %s", ok, res.StatusCode, body)
		}
	}
	for _, bad := range []string{`{"role":"admin"}`, "null", strings.Repeat(" ", 64), strings.Repeat("a", 2<<20)} {
		res, body := f.send(t, "POST", accept, bad)
		wantProblem(t, res, body, 422, errs.CodeValidationFailed)
	}
}

func TestBodyOverOneMebibyteIsRefusedHoweverItIsSent(t *testing.T) {
	f := newFixture(t, nil)
	huge := `{"title":"` + strings.Repeat("a", 1<<20) + `"}`
	res, body := f.send(t, "POST", "/v1/things", huge)
	wantProblem(t, res, body, 413, errs.CodeBodyTooLarge)

	req, err := http.NewRequestWithContext(t.Context(), "POST", f.URL+"/v1/things", io.MultiReader(strings.NewReader(huge)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin-token")
	req.Header.Set("Content-Type", "application/json")
	res, err = http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(res.Body)
	if err != nil || req.ContentLength != 0 {
		t.Fatalf("%v, length %d", err, req.ContentLength)
	}
	wantProblem(t, res, body, 413, errs.CodeBodyTooLarge)
}

// The connection of a client that sends its whole body before it reads must not be
// reset.
func TestClientThatSendsItsWholeBodyFirstReadsTheRefusal(t *testing.T) {
	f := newFixture(t, nil)
	tests := []struct {
		name, header string
		size, status int
	}{
		{"too large", "Authorization: Bearer admin-token\r\n", 8 << 20, 413},
		{"no token", "", 900 << 10, 401},
		{"too large, no token", "", 8 << 20, 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 10 {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = conn.Close() }()
				_, err = fmt.Fprintf(conn, "POST /v1/things HTTP/1.1\r\nHost: a\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
					tt.header, tt.size, strings.Repeat(" ", tt.size))
				if err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != tt.status {
					t.Fatalf("%d %s, %v", res.StatusCode, body, err)
				}
			}
		})
	}
}

func TestQueryIsStrict(t *testing.T) {
	f := newFixture(t, nil)
	tests := []struct{ query, location string }{
		{"assignee_id=" + canary, "query.assignee_id"}, {"Limit=5", "query.Limit"}, {"%3C" + canary + "%3E=1", "query"},
		{"limit=0", "query.limit"}, {"limit=101", "query.limit"}, {"limit=" + canary, "query.limit"}, {"limit=1.5", "query.limit"},
		{"limit=9223372036854775808", "query.limit"}, {"small=4294967296", "query.small"}, {"limit=", "query.limit"}, {"limit", "query.limit"}, {"limit=%2B5", "query.limit"},
		{"limit=1&limit=2", "query.limit"}, {"l%69mit=0", "query.limit"}, {"status=open&status=closed", "query.status"},
		{"status=" + canary, "query.status"}, {"status=", "query.status"}, {"active=1", "query.active"}, {"active=TRUE", "query.active"},
		{"after=yesterday" + canary, "query.after"}, {"after=2026-13-01T00:00:00Z", "query.after"},
		{"after=2026-01-01T00:00:00%2B24:00", "query.after"}, {"after=2026-01-01T00:00:00,5Z", "query.after"}, {"after=2026-01-01T1:00:00Z", "query.after"},
		{"q=%00" + canary, "query.q"}, {"q=%ff" + canary, "query.q"}, {"q=" + strings.Repeat(canary, 20), "query.q"},
		{"q=%zz" + canary, "query"}, {"q=a;b", "query"},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			res, body := f.send(t, "GET", "/v1/things?"+tt.query, "")
			p := wantProblem(t, res, body, 422, errs.CodeValidationFailed)
			if len(p.Errors) != 1 || p.Errors[0].Location != tt.location || bytes.Contains(body, []byte(canary)) {
				t.Errorf("want %s: %s", tt.location, body)
			}
		})
	}
	for _, query := range []string{"?", "?q=", "?limit=100&status=open&active=false&after=2026-01-01T00:00:00%2B01:00", "?q=%25_%5C%27%22;DROP"} {
		query = strings.ReplaceAll(query, ";", "%3B")
		if res, body := f.send(t, "GET", "/v1/things"+query, ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", query, res.StatusCode, body)
		}
	}
	// A percent-encoded name is that of the parameter.
	if _, body := f.send(t, "GET", "/v1/things?%71=needle", ""); !bytes.Contains(body, []byte("needle")) {
		t.Errorf("q was lost: %s", body)
	}
}

func TestPathAndHeadersAreStrict(t *testing.T) {
	f := newFixture(t, nil)
	for _, name := range []string{"%00" + canary, canary + "%ff", "%C0%80"} {
		res, body := f.send(t, "GET", "/v1/named/"+name, "")
		p := wantProblem(t, res, body, 422, errs.CodeValidationFailed)
		if len(p.Errors) != 1 || p.Errors[0].Location != "path.name" || bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s: %s", name, body)
		}
	}
	for _, id := range []string{"42", canary, strings.Repeat("z", 36)} {
		res, body := f.send(t, "GET", "/v1/things/"+id, "")
		p := wantProblem(t, res, body, 422, errs.CodeValidationFailed)
		if len(p.Errors) != 1 || p.Errors[0].Location != "path.id" || p.Errors[0].Message != "must be a UUID" || bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s: %s", id, body)
		}
	}
	for _, name := range []string{"a%2Fb", "%25", "a%20b", "é"} {
		want, _ := url.PathUnescape(name)
		if _, body := f.send(t, "GET", "/v1/named/"+name, ""); !strings.Contains(string(body), `"name":"`+want+`"`) {
			t.Errorf("%s: %s", name, body)
		}
	}
	for _, id := range []string{canary, "1", strings.Repeat("a", 36), "..%2f" + canary, "%00"} {
		res, body := f.send(t, "GET", "/v1/things/"+id, "")
		if wantProblem(t, res, body, 422, errs.CodeValidationFailed); bytes.Contains(body, []byte(canary)) {
			t.Errorf("%s: %s", id, body)
		}
	}
	for _, headers := range [][]string{
		{"Idempotency-Key: " + canary + "\xff"}, {"Idempotency-Key: a", "+: Idempotency-Key=b"}, {"Idempotency-Key: " + strings.Repeat(canary, 20)},
	} {
		res, body := f.send(t, "POST", "/v1/things", `{"title":"a"}`, headers...)
		p := wantProblem(t, res, body, 422, errs.CodeValidationFailed)
		if len(p.Errors) != 1 || !strings.EqualFold(p.Errors[0].Location, "header.Idempotency-Key") || bytes.Contains(body, []byte(canary)) {
			t.Errorf("%q: %s", headers, body)
		}
	}
}

func TestCallerWithoutATokenIsRefusedBeforeAnythingElseIsChecked(t *testing.T) {
	f := newFixture(t, nil)
	for _, headers := range [][]string{
		{"Authorization: -"}, {"Authorization: "}, {"Authorization: Bearer"}, {"Authorization: Bearer "}, {"Authorization: Basic YTpi"},
		{"Authorization: Bearer  admin-token"}, {"Authorization: Bearer admin-token x"}, {"Authorization: Bearer a,b"}, {"Authorization: admin-token"},
		{"Authorization: Bearer admin-token", "+: Authorization=Bearer admin-token"}, {"Authorization: Bearer " + canary},
	} {
		headers := append(headers, "Accept: image/png", "Content-Type: text/plain")
		for _, path := range []string{"/v1/things?unknown=1", "/v1/things/not-an-id/accept"} {
			res, body := f.send(t, "POST", path, strings.Repeat("{", 2<<20), headers...)
			p := wantProblem(t, res, body, 401, errs.CodeInvalidToken)
			want := `Bearer error="invalid_token"`
			if headers[0] == "Authorization: -" {
				want = "Bearer"
			}
			if got := res.Header.Get("WWW-Authenticate"); got != want || len(p.Errors) > 0 || bytes.Contains(body, []byte(canary)) {
				t.Errorf("%q: %q %s", headers, got, body)
			}
		}
	}
	if strings.Contains(f.log.String(), canary) {
		t.Error("the log has the token")
	}
}

func TestBearerSchemeIsCaseInsensitive(t *testing.T) {
	f := newFixture(t, nil)
	if res, body := f.send(t, "GET", "/v1/things", "", "Authorization: bearer admin-token"); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestWrongRoleIsForbiddenBeforeTheInputIsRead(t *testing.T) {
	f := newFixture(t, nil)
	res, body := f.send(t, "POST", "/v1/things/not-an-id/accept", "{", "Authorization: Bearer customer-token")
	wantProblem(t, res, body, 403, errs.CodeForbidden)
}

func FuzzBodyNeverBreaksTheService(f *testing.F) {
	for _, s := range []string{`{"title":"a"}`, `{"title":null}`, `[]`, `{"tags":[null]}`, `{"a":{"b":[1]}}`, `{"count":1e99}`, "\x00", `"\ud800"`} {
		f.Add([]byte(s))
	}
	fix := newFixture(f, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return
		}
		res, answer := fix.send(t, "POST", "/v1/things", string(body))
		switch res.StatusCode {
		case 201:
			if !json.Valid(body) || httpapi.CheckJSON(body) != nil {
				t.Errorf("%q was taken", body)
			}
		case 400, 422:
		default:
			t.Errorf("%q: %d %s", body, res.StatusCode, answer)
		}
	})
}

package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

// documentFixture is a service with one resource and one list, of which admins see more.
type documentFixture struct {
	*fixture
	version   atomic.Int64
	name      atomic.Value // changes the resource, not its version
	unchanged httpapi.Unchanged
	reads     atomic.Int64 // of the list
}

type documentInput struct {
	Size int `query:"size" minimum:"0" maximum:"100000"`
}

type documentBody struct {
	Name  string `json:"name"`
	Text  string `json:"text"`
	Email string `json:"email,omitempty"`
}

type documentOutput struct {
	ETag string `header:"ETag"`
	Body documentBody
}

func newDocumentFixture(t testing.TB, change func(*httpapi.Config)) *documentFixture {
	t.Helper()
	d := &documentFixture{}
	d.version.Store(3)
	d.name.Store("Ada")
	d.fixture = newFixtureWith(t, change, func(f *fixture) { d.register(f.api) })
	return d
}

func (d *documentFixture) register(api *httpapi.API) {
	op := func(method, path, id string) httpapi.Operation {
		return httpapi.Operation{Method: method, Path: path, ID: id, Summary: id, Tag: "t", Allow: []string{"customer", "admin"}}
	}
	read := op("GET", "/v1/document", "get-document")
	read.Resource, read.Errors = true, []string{errs.CodeNotFound}
	httpapi.Register(api, read, func(ctx context.Context, in *documentInput) (*documentOutput, error) {
		if in.Size == 404 {
			return nil, errs.Missing()
		}
		return d.view(ctx, in.Size), nil
	})
	edit := op("PATCH", "/v1/document", "edit-document")
	edit.Errors = []string{errs.CodeVersionMismatch}
	httpapi.Register(api, edit, func(ctx context.Context, in *editDocument) (*documentOutput, error) {
		match, err := httpapi.ParseIfMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		if !match.Allows(d.version.Load()) {
			return nil, errs.VersionMismatch()
		}
		d.version.Add(1)
		return d.view(ctx, in.Size), nil
	})
	list := op("GET", "/v1/documents", "list-documents")
	list.Tagged = true
	httpapi.Register(api, list, func(ctx context.Context, in *listDocuments) (*documentsOutput, error) {
		request := fmt.Sprint(ctx.Value(principalKey{}), in.Size)
		if in.State != "" && d.unchanged.Is(ctx, request, in.State) {
			return &documentsOutput{}, nil
		}
		d.reads.Add(1)
		return &documentsOutput{Body: []documentBody{d.view(ctx, in.Size).Body}}, nil
	})
	login := op("POST", "/v1/login", "login")
	login.Secret = true
	httpapi.Register(api, login, func(_ context.Context, in *loginInput) (*loginOutput, error) {
		out := &loginOutput{}
		out.Body.Token, out.Body.Echo = strings.Repeat("secret", 500), in.Body.Echo
		return out, nil
	})
	rows := op("GET", "/v1/rows", "export-rows")
	httpapi.RegisterStream(api, rows, "text/csv", streamRows)
	events := op("GET", "/v1/events", "stream-events")
	httpapi.RegisterStream(api, events, "text/event-stream", func(context.Context, *struct{}) (httpapi.Stream, error) {
		return func(_ context.Context, w *httpapi.StreamWriter) error {
			_, err := io.WriteString(w, strings.Repeat("data: x\n\n", 1000))
			return err
		}, nil
	})
}

type listDocuments struct {
	documentInput
	Size  int    `query:"size" minimum:"0" maximum:"100000"`
	State string `query:"state"` // of what the list is made of
}

type documentsOutput struct {
	Body []documentBody
}

type editDocument struct {
	documentInput
	Size    int    `query:"size" minimum:"0" maximum:"100000"`
	IfMatch string `header:"If-Match"`
	Body    struct{}
}

type loginInput struct {
	Body struct {
		Echo string `json:"echo"`
	}
}

type loginOutput struct {
	Body struct {
		Token string `json:"token"`
		Echo  string `json:"echo"`
	}
}

type rowsInput struct {
	Rows int    `query:"rows"`
	Fail string `query:"fail" enum:"early,late"`
}

// streamRows writes rows of 10 bytes.
func streamRows(_ context.Context, in *rowsInput) (httpapi.Stream, error) {
	return func(_ context.Context, w *httpapi.StreamWriter) error {
		if in.Fail == "early" {
			return errs.Missing()
		}
		for i := range in.Rows {
			if _, err := fmt.Fprintf(w, "%08d\r\n", i); err != nil {
				return err
			}
		}
		if in.Fail == "late" {
			if err := w.Flush(); err != nil {
				return err
			}
			return errDown
		}
		return nil
	}, nil
}

func (d *documentFixture) view(ctx context.Context, size int) *documentOutput {
	out := &documentOutput{ETag: httpapi.ETag(d.version.Load())}
	out.Body.Name, out.Body.Text = d.name.Load().(string), strings.Repeat("It smokes. ", size/11)
	if ctx.Value(principalKey{}) == "principal-admin" {
		out.Body.Email = "ada@example.org"
	}
	return out
}

// raw sends a request over its own connection and returns the answer as it is on
// the wire, body included.
func (f *fixture) raw(t *testing.T, method, target, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	lines := []string{method + " " + target + " HTTP/1.1", "Host: a", "Connection: close"}
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Authorization:") }) {
		lines = append(lines, "Authorization: Bearer admin-token")
	}
	if body != "" {
		lines = append(lines, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body)))
	}
	request := strings.Join(append(lines, headers...), "\r\n") + "\r\n\r\n" + body
	answer := rawRequest(t, f.Listener.Addr().String(), request)
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v: %q", method, target, err, answer)
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		res.StatusCode = -res.StatusCode // incomplete
	}
	return res, content
}

func TestUnchangedResourceIsAnswered304WithItsETagAndWithoutABody(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	first, body := f.raw(t, "GET", "/v1/document", "")
	tag := first.Header.Get("ETag")
	if first.StatusCode != 200 || !strings.HasPrefix(tag, `"3-`) || first.Header.Get("Cache-Control") != "private, no-cache" || first.ContentLength != int64(len(body)) {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	for header, want := range map[string]int{
		tag: 304, "*": 304, " * ": 304, "W/" + tag: 304, `"x", ` + tag: 304, `"x","y" , W/` + tag + ` , "z"`: 304, ", ," + tag: 304,
		`"a,b", ` + tag: 304, `"x"` + "\r\nIf-None-Match: " + tag: 304,
		`"3"`: 200, `"x"`: 200, "": 200, strings.Trim(tag, `"`): 200, tag[:len(tag)-1]: 200, tag + "x": 200, `"x" ` + tag: 200, "w/" + tag: 200,
		`*, ` + tag: 200, strings.ToUpper(tag): 200,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			res, got := f.raw(t, method, "/v1/document", "", "If-None-Match: "+header)
			if res.StatusCode != want || res.Header.Get("ETag") != tag || res.Header.Get("Cache-Control") != "private, no-cache" {
				t.Errorf("%s with %q: %d %v", method, header, res.StatusCode, res.Header)
			}
			if want == 304 && (len(got) != 0 || res.Header["Content-Type"] != nil || res.Header["Content-Length"] != nil || res.Header.Get("Vary") != "Accept-Encoding") {
				t.Errorf("304 to %s with %q: %v %q", method, header, res.Header, got)
			}
			if want == 200 && res.ContentLength != int64(len(body)) {
				t.Errorf("200 to %s with %q: %v", method, header, res.Header)
			}
		}
	}
	if res, _ := f.raw(t, "GET", "/v1/document?size=404", "", "If-None-Match: *"); res.StatusCode != 404 || res.Header.Get("ETag") != "" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("an error: %d %v", res.StatusCode, res.Header)
	}
	if res, _ := f.raw(t, "GET", "/v1/document", "", "Authorization: Bearer x", "If-None-Match: *"); res.StatusCode != 401 {
		t.Errorf("without a valid token: %d", res.StatusCode)
	}
}

// What a browser keeps of one account must not be confirmed to another that sees
// less of the same version, nor after a change that has no version.
func TestETagDiffersWheneverTheRepresentationDoes(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	tagFor := func(viewer string) string {
		res, _ := f.raw(t, "GET", "/v1/document", "", "Authorization: Bearer "+viewer+"-token")
		return res.Header.Get("ETag")
	}
	admin, customer := tagFor("admin"), tagFor("customer")
	if admin == customer {
		t.Fatalf("both viewers have %s", admin)
	}
	res, body := f.raw(t, "GET", "/v1/document", "", "Authorization: Bearer customer-token", "If-None-Match: "+admin)
	if res.StatusCode != 200 || strings.Contains(string(body), "ada@example.org") {
		t.Errorf("the admin's answer is confirmed to a customer: %d %s", res.StatusCode, body)
	}
	// The control: the version alone would have confirmed it.
	if admin[:3] != customer[:3] || !httpapi.MatchesAny([]string{httpapi.ETag(3)}, httpapi.ETag(3)) {
		t.Errorf("%s and %s are of different versions", admin, customer)
	}
	f.name.Store("Eve")
	if res, _ := f.raw(t, "GET", "/v1/document", "", "If-None-Match: "+admin); res.StatusCode != 200 {
		t.Error("a new name is not seen")
	}
}

func TestEveryETagOfAVersionAllowsItsChange(t *testing.T) {
	t.Parallel()
	f := newDocumentFixture(t, nil)
	patch := func(tag string, want int) string {
		t.Helper()
		res, body := f.raw(t, "PATCH", "/v1/document?size=2000", "{}", "If-Match: "+tag, "Accept-Encoding: zstd")
		if res.StatusCode != want {
			t.Fatalf("If-Match %s: %d %s", tag, res.StatusCode, body)
		}
		return res.Header.Get("ETag")
	}
	get := func(headers ...string) string {
		res, _ := f.raw(t, "GET", "/v1/document?size=2000", "", headers...)
		return res.Header.Get("ETag")
	}
	patch(`"3"`, 200)
	patch(get(), 200)
	patch(get("Accept-Encoding: gzip"), 200)
	after := patch(get("Authorization: Bearer customer-token"), 200)
	if after != get("Accept-Encoding: zstd") {
		t.Errorf("the change is answered with %s, and then it has %s", after, get("Accept-Encoding: zstd"))
	}
	f.name.Store("Eve") // no change of what is edited
	stale := after
	patch(after, 200)
	patch(stale, 412)
	patch("W/"+get(), 412)
	patch(`"8"`, 200)
	patch(`"3"`, 412)
}

func TestDocumentationIsAnswered304(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, path := range []string{"/openapi.json", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js"} {
		tags := map[string]bool{}
		for _, coding := range []string{"identity", "gzip", "gzip, zstd"} {
			first, body := f.raw(t, "GET", path, "", "Accept-Encoding: "+coding)
			tag := first.Header.Get("ETag")
			tags[tag] = true
			if first.StatusCode != 200 || len(body) == 0 || first.ContentLength != int64(len(body)) || first.Header.Get("Cache-Control") != "no-cache" {
				t.Errorf("%s in %s: %d %v", path, coding, first.StatusCode, first.Header)
			}
			for _, method := range []string{"GET", "HEAD"} {
				res, body := f.raw(t, method, path, "", "Accept-Encoding: "+coding, "If-None-Match: "+tag)
				if res.StatusCode != 304 || len(body) != 0 || res.Header.Get("ETag") != tag || res.Header.Get("Vary") != "Accept-Encoding" {
					t.Errorf("%s %s in %s: %d %v", method, path, coding, res.StatusCode, res.Header)
				}
			}
		}
		if small := path == "/docs" || path == "/docs/start.js"; len(tags) != 2 && !small || len(tags) != 1 && small {
			t.Errorf("%s has the tags %v", path, tags)
		}
	}
}

func FuzzIfNoneMatchAndIfMatch(f *testing.F) {
	for _, seed := range []string{``, `*`, `"3"`, `W/"3-ab"`, `"3-ab", "x"`, `"`, `,,"3-ab",`, `"3-ab" "x"`, "\"a\tb\"", `W/`, `"3`} {
		f.Add(seed)
	}
	const tag = `"3-ab"`
	f.Fuzz(func(t *testing.T, header string) {
		if httpapi.MatchesAny([]string{header}, tag) && strings.TrimSpace(header) != "*" && !strings.Contains(header, tag) {
			t.Errorf("%q matches %s", header, tag)
		}
		if _, err := httpapi.ParseIfMatch(header); err == nil && strings.Trim(header, " \t") != "*" && strings.Trim(header, " \t") != "" {
			if !httpapi.MatchesAny([]string{header, tag}, tag) {
				t.Errorf("%q is read as a list, and %s after it isn't found", header, tag)
			}
		}
		if m, err := httpapi.ParseIfMatch(header); err == nil && m.Allows(3) && !strings.Contains(header, `"3`) && strings.Trim(header, " \t") != "*" && strings.Trim(header, " \t") != "" {
			t.Errorf("%q allows version 3", header)
		}
	})
}

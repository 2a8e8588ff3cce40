package httpapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
)

const acceptHTML = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// catalogue reads the codes from the source of errs, so that a new one is found
// wherever it is missing.
func catalogue(t *testing.T) (codes []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../errs/errs.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
		return false
	})
	if len(codes) < 29 {
		t.Fatalf("control: only %d codes were found", len(codes))
	}
	return codes
}

func TestEveryCodeHasAPageWithMeaningCauseRemedyAndExample(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	index := f.page(t, "/problems")
	for _, code := range catalogue(t) {
		res, text := f.send(t, "GET", "/problems/"+code, "", "Authorization: -", "Accept: */*")
		match := regexp.MustCompile("(?s)^## " + code + "\n\n([45]\\d\\d) [A-Z][^.]+\\. [A-Z].+\\.\n\nIt happens when:\n\n- .+\n\nWhat to do: .+\n\n```json\n(.+)```\n$").FindSubmatch(text)
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" || match == nil {
			t.Errorf("%s: %d %s", code, res.StatusCode, text)
			continue
		}
		var example httpapi.Problem
		if err := json.Unmarshal(match[2], &example); err != nil || example.Type != "/problems/"+code || string(example.Code) != code || strconv.Itoa(example.Status) != string(match[1]) {
			t.Errorf("%s: the example is %s", code, match[2])
		}
		html := f.page(t, "/problems/"+code)
		for _, want := range []string{"<h1>" + code + "</h1>", "When it happens", "What to do", "&#34;code&#34;: &#34;" + code} {
			if !strings.Contains(html, want) {
				t.Errorf("%s: %q is missing in %s", code, want, html)
			}
		}
		if !strings.Contains(index, `<a href="/problems/`+code+`">`) {
			t.Errorf("the list lacks %s", code)
		}
	}
	res, body := f.send(t, "GET", "/problems/no_such_code", "", "Authorization: -", acceptHTML)
	wantProblem(t, res, body, 404, errs.CodeNotFound)
}

// page returns a page as a browser gets it.
func (f *fixture) page(t *testing.T, path string) string {
	t.Helper()
	res, body := f.send(t, "GET", path, "", "Authorization: -", acceptHTML)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" || res.Header.Get("Vary") == "" {
		t.Fatalf("%s: %d %v", path, res.StatusCode, res.Header)
	}
	style := regexp.MustCompile(`(?s)<style>(.+)</style>`).FindSubmatch(body)
	if style == nil {
		t.Fatalf("%s has no style", path)
	}
	sum := sha256.Sum256(style[1])
	policy := res.Header.Get("Content-Security-Policy")
	if want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.HasPrefix(policy, want) || strings.Contains(policy, "unsafe") {
		t.Errorf("%s has the policy %s", path, policy)
	}
	if bytes.Contains(body, []byte("<script")) || bytes.Contains(body, []byte("//")) || bytes.Contains(body, []byte("style=")) {
		t.Errorf("%s runs scripts or names other hosts", path)
	}
	return string(body)
}

func TestTypeOfAProblemLeadsToItsPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, request := range [][]string{
		{"GET", "/nowhere", ""}, {"DELETE", "/v1/things", ""}, {"POST", "/v1/things", "{"}, {"POST", "/v1/things", `{"titel":1}`}, {"GET", "/panic", ""},
	} {
		res, body := f.send(t, request[0], request[1], request[2])
		var problem httpapi.Problem
		if err := json.Unmarshal(body, &problem); err != nil || res.StatusCode < 400 {
			t.Fatalf("control: %v: %d %s", request, res.StatusCode, body)
		}
		target, err := res.Request.URL.Parse(problem.Type) // as RFC 9457 resolves it
		if err != nil {
			t.Fatal(err)
		}
		if page := f.page(t, target.RequestURI()); !strings.Contains(page, "<h1>"+string(problem.Code)+"</h1>") {
			t.Errorf("%v: %s leads to %s", request, problem.Type, page)
		}
	}
}

func TestPageOfProblemsIsThatOfTheCatalogue(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	if err := httpapi.WriteProblems(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/problems.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/problems.md is out of date: make gen")
	}
}

package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
)

// problemPath is the path of the pages about problems. The type of a problem is
// problemPath and its code: a URI reference that leads to the page from wherever
// the service is reached (RFC 9457, section 3.1.1), and the same in every
// installation.
const problemPath = "/problems/"

var (
	//go:embed problems/page.html
	problemPageText string
	//go:embed problems/style.css
	problemStyle string

	problemPage = template.Must(template.New("page").Funcs(template.FuncMap{"prose": prose}).Parse(problemPageText))

	// problemPolicy allows the page its own style element and nothing else.
	problemPolicy = "default-src 'none'; style-src 'sha256-" + hashOf(problemStyle) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// prose escapes text and marks what is between backquotes as code.
func prose(text string) template.HTML {
	var html strings.Builder
	for i, part := range strings.Split(text, "`") {
		if part = template.HTMLEscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		html.WriteString(part)
	}
	return template.HTML(html.String()) //nolint:gosec // escaped above
}

// problemDescription is what the page of one code shows.
type problemDescription struct {
	Code, Status, Meaning, Do string
	When                      []string
	Example                   string // JSON
}

func describeProblem(code string) problemDescription {
	status, text := codeStatus[code], problemTexts[code]
	example, err := json.MarshalIndent(exampleProblem(status, code), "", "  ")
	if err != nil {
		panic(fmt.Errorf("httpapi: write an example: %w", err))
	}
	return problemDescription{
		Code: code, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Meaning: codeMeaning[code], When: text.when, Do: text.do, Example: string(example),
	}
}

// describeProblems describes the whole catalogue, by code.
func describeProblems() []problemDescription {
	list := make([]problemDescription, 0, len(codeStatus))
	for _, code := range problemCodes() {
		list = append(list, describeProblem(string(code)))
	}
	return list
}

// WriteProblems writes the catalogue of problems as Markdown, a section for each
// code: docs/problems.md.
func WriteProblems(w io.Writer) error {
	var page bytes.Buffer
	page.WriteString(problemsIntroduction)
	for _, p := range describeProblems() {
		p.writeMarkdown(&page)
	}
	_, err := page.WriteTo(w)
	return err
}

const problemsIntroduction = `<!-- Generated from pkg/httpapi/problem_text.go ("make gen"). Do not edit. -->
# Problems

Every error of both services is a problem (RFC 9457, ` + "`application/problem+json`" + `).
Branch on ` + "`code`" + `, which is stable; ` + "`title`" + ` and ` + "`detail`" + ` are for people.
` + "`type`" + ` is ` + "`/problems/`" + ` and the code: a URI reference, relative to the service that
answered, at which that service has the section below as a page.
`

func (p problemDescription) writeMarkdown(w *bytes.Buffer) {
	fmt.Fprintf(w, "\n## %s\n\n%s. %s\n\nIt happens when:\n\n", p.Code, p.Status, p.Meaning)
	for _, when := range p.When {
		fmt.Fprintf(w, "- %s\n", when)
	}
	fmt.Fprintf(w, "\nWhat to do: %s\n\n```json\n%s\n```\n", p.Do, p.Example)
}

// mountProblems adds the page of each code, and their list. A client that takes
// no HTML gets the same as text.
func (a *API) mountProblems() {
	a.handle(http.MethodGet, strings.TrimSuffix(problemPath, "/"), func(w http.ResponseWriter, r *http.Request) {
		a.writeProblemPage(w, r, "Problems", describeProblems()...)
	})
	a.handle(http.MethodGet, problemPath+"{code}", func(w http.ResponseWriter, r *http.Request) {
		code := chi.URLParam(r, "code")
		if !slices.Contains(problemCodes(), ProblemCode(code)) {
			a.fail(w, r, errNoSuchPath)
			return
		}
		a.writeProblemPage(w, r, code, describeProblem(code))
	})
}

func (a *API) writeProblemPage(w http.ResponseWriter, r *http.Request, title string, problems ...problemDescription) {
	var page bytes.Buffer
	h := w.Header()
	h["Vary"] = append(h["Vary"], "Accept")
	if !wantsHTML(r) {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
		for _, p := range problems {
			p.writeMarkdown(&page)
		}
		_, _ = w.Write(bytes.TrimPrefix(page.Bytes(), []byte("\n")))
		return
	}
	err := problemPage.Execute(&page, struct {
		Title, Service string
		Style          template.CSS
		Problems       []problemDescription
	}{title, a.cfg.Title, template.CSS(problemStyle), problems}) //nolint:gosec // a constant
	if err != nil {
		a.fail(w, r, fmt.Errorf("write the page of a problem: %w", err))
		return
	}
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Content-Security-Policy"] = []string{problemPolicy}
	_, _ = w.Write(page.Bytes())
}

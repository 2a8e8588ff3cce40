package console

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func files(texts map[string]string) fs.FS {
	all := fstest.MapFS{"index.html": {Data: []byte(`<script src="/assets/main.js"></script><!-- modules -->`)}}
	for name, text := range texts {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

func TestNameOfAnAssetFollowsItsContentAndWhatItImports(t *testing.T) {
	names := func(part string) map[string]string {
		p, err := loadPages(files(map[string]string{
			"main.js": `import { a } from "./parts/a.js";`, "parts/a.js": part, "style/b.css": "b {}",
		}))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for name, a := range p.assets {
			found[regexp.MustCompile(`\.[\w-]{12}\.`).ReplaceAllString(name, ".")] = name
			if strings.HasPrefix(name, "main") && !strings.Contains(string(a.content), `from "/assets/parts/a.`) {
				t.Errorf("main.js imports no asset: %s", a.content)
			}
		}
		if !strings.Contains(string(p.index.content), `src="/assets/`+found["main.js"]) || strings.Count(string(p.index.content), "modulepreload") != 2 {
			t.Errorf("index: %s", p.index.content)
		}
		return found
	}
	before, same, after := names("export const a = 1;"), names("export const a = 1;"), names("export const a = 2;")
	if before["main.js"] != same["main.js"] {
		t.Error("the same content has two names")
	}
	for _, file := range []string{"main.js", "parts/a.js"} {
		if before[file] == after[file] {
			t.Errorf("%s keeps its name when its content changes", file)
		}
	}
	if before["style/b.css"] != after["style/b.css"] {
		t.Error("a file that did not change has another name")
	}
}

func TestModulesThatAreNeededLaterAreNotFetchedAtOnce(t *testing.T) {
	p, err := loadPages(files(map[string]string{
		"main.js": `import "./now.js"; const view = () => import("./later.js"); /** @type {import("./types.js").T} */`,
		"now.js":  ``, "later.js": `import "./with.js";`, "with.js": ``,
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range p.assets {
		file, _, _ := strings.Cut(a.name, ".")
		if atOnce := file == "main" || file == "now"; strings.HasSuffix(a.name, ".js") && bytes.Contains(p.index.content, []byte("preload\" href=\"/assets/"+a.name)) != atOnce {
			t.Errorf("%s is fetched at once: %t", file, !atOnce)
		}
		if file == "main" && !strings.Contains(string(a.content), `=> import("/assets/later.`) {
			t.Errorf("main.js: %s", a.content)
		}
	}
}

func TestModulesThatDoNotFitTogetherAreRefused(t *testing.T) {
	for name, texts := range map[string]map[string]string{
		"a file that is missing":      {"main.js": `import "./a.js";`},
		"an unknown library":          {"main.js": `import x from "left-pad";`},
		"a circle":                    {"main.js": `import "./a.js";`, "a.js": `import "./main.js";`},
		"a missing asset in a page":   {"other.js": ""},
		"a missing asset in a module": {"main.js": `const x = "/assets/none.svg";`},
	} {
		if _, err := loadPages(files(texts)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := loadPages(files(map[string]string{"main.js": ""})); err != nil {
		t.Errorf("control: %v", err)
	}
}

// maxFirstLoad is what the first visit of the console may fetch, in bytes.
const maxFirstLoad = 100 << 10

func TestFirstLoadIsSmall(t *testing.T) {
	p := embeddedPages(t)
	total, files := len(zipped(p.index.content)), 1
	for _, a := range p.assets {
		if bytes.Contains(p.index.content, []byte(a.name)) {
			total, files = total+len(zipped(a.content)), files+1
		}
	}
	t.Logf("%d bytes in %d of %d files", total, files, len(p.assets)+1)
	if files < 30 {
		t.Error("the page names hardly any file")
	}
	if total > maxFirstLoad {
		t.Errorf("%d bytes, at most %d", total, maxFirstLoad)
	}
}

func zipped(content []byte) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = zip.Write(content)
	_ = zip.Close()
	return b.Bytes()
}

func embeddedPages(t *testing.T) *pages {
	t.Helper()
	p, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPagesInsertNoText reads the sources for the means by which text becomes
// elements or code.
func TestPagesInsertNoText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySet|\beval\(|new Function|srcdoc|javascript:`)
	for _, control := range []string{"x.innerHTML = y", "eval(x)"} {
		if !forbidden.MatchString(control) {
			t.Errorf("control: %q is not found", control)
		}
	}
	err := fs.WalkDir(embedded, "page", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(file, "page/lib/") {
			return err
		}
		source, err := fs.ReadFile(embedded, file)
		if found := forbidden.Find(source); found != nil {
			t.Errorf("%s has %s", file, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestColoursHaveEnoughContrast computes the contrast of texts and marks on each
// surface, light and dark (WCAG 2.2, success criteria 1.4.3 and 1.4.11).
func TestColoursHaveEnoughContrast(t *testing.T) {
	source, err := fs.ReadFile(embedded, "page/style/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	colours := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)`).FindAllStringSubmatch(string(source), -1) {
		colours[m[1]] = [2]string{m[2], m[3]}
	}
	texts := []string{"text-1", "text-2", "text-3", "accent", "open", "in-progress", "blocked", "resolved", "closed", "danger"}
	surfaces := []string{"surface-1", "surface-2", "surface-3", "accent-soft"}
	for theme, name := range []string{"light", "dark"} {
		check := func(front, back string, least float64) {
			if c := contrast(t, colours[front][theme], colours[back][theme]); c < least {
				t.Errorf("%s: %s on %s has %.2f, at least %.1f", name, front, back, c, least)
			}
		}
		for _, text := range texts {
			for _, surface := range surfaces {
				check(text, surface, 4.5)
			}
		}
		check("on-accent", "accent", 4.5)
		check("internal-text", "internal", 4.5)
		check("text-3", "internal", 4.5)
		check("danger", "danger-soft", 4.5)
		check("text-1", "danger-soft", 4.5)
		check("line-strong", "surface-1", 3)
		check("line-strong", "surface-2", 3)
	}
	if c := contrast(t, "#777777", "#ffffff"); c < 4.47 || c > 4.49 {
		t.Errorf("control: grey on white has %.2f", c)
	}
}

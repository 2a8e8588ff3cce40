package app_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPagesNameTestsThatExist checks that each test that a page names exists.
func TestPagesNameTestsThatExist(t *testing.T) {
	root := os.DirFS("../../../..")
	exists := declaredTests(t, root)
	for _, page := range []string{"docs/security.md", "docs/promises.md"} {
		text, err := fs.ReadFile(root, page)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllSubmatch(text, -1)
		if len(named) < 30 {
			t.Errorf("%s names only %d tests", page, len(named))
		}
		for _, m := range named {
			if !exists[string(m[1])] {
				t.Errorf("%s names %s, which doesn't exist", page, m[1])
			}
		}
	}
}

// TestPromisesListTheLongTests checks that a reader sees which tests make test leaves to
// make test-long: each of them, and no other, is in the list.
func TestPromisesListTheLongTests(t *testing.T) {
	root := os.DirFS("../../../..")
	page, err := fs.ReadFile(root, "docs/promises.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "### In `make test-long` alone\n")
	list, _, _ = strings.Cut(list, "\n## ")
	var listed []string
	for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(list, -1) {
		listed = append(listed, m[1])
	}
	var long []string
	eachTestFile(t, root, func(source []byte) {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(.*\n\ttrials\.Long\(t\)`).FindAllSubmatch(source, -1) {
			long = append(long, string(m[1]))
		}
	})
	slices.Sort(listed)
	slices.Sort(long)
	if !slices.Equal(listed, long) || len(long) == 0 {
		t.Errorf("the page lists\n%q\nand these are long:\n%q", listed, long)
	}
}

// declaredTests are the names of all tests in the repository.
func declaredTests(t *testing.T, root fs.FS) map[string]bool {
	t.Helper()
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	eachTestFile(t, root, func(source []byte) {
		for _, m := range declared.FindAllSubmatch(source, -1) {
			exists[string(m[1])] = true
		}
	})
	return exists
}

// eachTestFile calls read with each test file of the repository.
func eachTestFile(t *testing.T, root fs.FS, read func(source []byte)) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if entry != nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "." {
				return fs.SkipDir
			}
			return err
		}
		source, err := fs.ReadFile(root, path)
		read(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

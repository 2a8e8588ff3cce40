package app_test

import (
	"io/fs"
	"os"
	"regexp"
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

// declaredTests are the names of all tests in the repository.
func declaredTests(t *testing.T, root fs.FS) map[string]bool {
	t.Helper()
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			if entry != nil && entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != "." {
				return fs.SkipDir
			}
			return err
		}
		source, err := fs.ReadFile(root, path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			exists[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return exists
}

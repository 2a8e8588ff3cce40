package pg

import (
	"os"
	"strings"
	"testing"
)

func TestPageOnOperationNamesEachStartupParameterForPgBouncer(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(page), "`ignore_startup_parameters = ")
	list, _, _ = strings.Cut(list, "`")
	ignored := map[string]bool{"timezone": true, "application_name": true} // which PgBouncer tracks
	for name := range strings.SplitSeq(list, ",") {
		ignored[name] = true
	}
	parameters := Config{Application: "test"}.parameters()
	for name := range parameters {
		if !ignored[name] {
			t.Errorf("%s is missing in ignore_startup_parameters", name)
		}
		delete(ignored, name)
	}
	for name := range ignored {
		t.Errorf("the page names %q, which isn't set", name)
	}
}

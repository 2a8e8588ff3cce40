package mailcatcher

import (
	"os"
	"testing"
)

func TestColoursAreThoseOfTheConsole(t *testing.T) {
	const console = "../../../../services/crm/internal/console/page/"
	for ours, theirs := range map[string]string{"page/tokens.css": console + "style/tokens.css", "page/icon.svg": console + "icon.svg"} {
		want, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		got, err := pageFiles.ReadFile(ours)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs from %s: copy it", ours, theirs)
		}
	}
}

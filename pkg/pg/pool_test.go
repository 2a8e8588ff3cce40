package pg

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPageAndSQLGiveRolesEachParameterThatAPoolerDrops(t *testing.T) {
	t.Parallel()
	for path, statement := range map[string]string{"../../docs/operating.md": "alter role crm set %s = ", "../../db/serving-role.sql": "['%s', "} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name := range (Config{Application: "test"}).parameters() {
			has := strings.Contains(string(text), strings.Replace(statement, "%s", name, 1))
			if tracked := slices.Contains(poolerTracks, name); has == tracked {
				t.Errorf("%s names %s: %v; PgBouncer keeps it: %v", path, name, has, tracked)
			}
		}
	}
}

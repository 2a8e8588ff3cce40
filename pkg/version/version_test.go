package version

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionIsTheLinkersAndElseThatOfTheGoCommand(t *testing.T) {
	settings := []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}
	tagged := &debug.BuildInfo{Main: debug.Module{Version: "v1.1.0"}, Settings: settings}
	devel := &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: settings}
	for name, tt := range map[string]struct {
		release, revision string
		build             *debug.BuildInfo
		want              string
	}{
		"linker":       {"1.2.0", "def", tagged, "crm 1.2.0\nrevision def\n"},
		"go command":   {"", "", tagged, "crm v1.1.0\nrevision abc, modified\n"},
		"no release":   {"", "", devel, "crm dev\nrevision abc, modified\n"},
		"no record":    {"", "", &debug.BuildInfo{}, "crm dev\nrevision unknown\n"},
		"release only": {"1.2.0", "", devel, "crm 1.2.0\nrevision abc, modified\n"},
	} {
		if got := read(tt.release, tt.revision, tt.build).Lines("crm"); !strings.HasPrefix(got, tt.want+runtime.Version()+" ") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

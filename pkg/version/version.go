// Package version names the build of the running program.
package version

import (
	"cmp"
	"runtime"
	"runtime/debug"
)

// A release build sets them: -ldflags="-X fixdesk/pkg/version.release=1.2.0 -X
// fixdesk/pkg/version.revision=COMMIT".
var release, revision string

// Info is what is known about a build.
type Info struct {
	// Version is the release, such as 1.2.0; "dev" for a build that has none.
	Version string
	// Revision is the commit in full; "unknown" for a build outside of a
	// repository.
	Revision string
	// Modified means that the source differed from the commit.
	Modified bool
	// Go is the version of Go with the platform, such as "go1.26.0 linux/amd64".
	Go string
}

// Read returns what the linker set, and else what the go command recorded.
func Read() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return read(release, revision, build)
}

func read(release, revision string, build *debug.BuildInfo) Info {
	i := Info{Version: release, Revision: revision, Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if build.Main.Version != "(devel)" {
		i.Version = cmp.Or(i.Version, build.Main.Version)
	}
	for _, s := range build.Settings {
		switch {
		case s.Key == "vcs.revision" && revision == "":
			i.Revision = s.Value
		case s.Key == "vcs.modified" && revision == "":
			i.Modified = s.Value == "true"
		}
	}
	i.Version, i.Revision = cmp.Or(i.Version, "dev"), cmp.Or(i.Revision, "unknown")
	return i
}

// Lines returns three lines for people, of which the first has the program's
// name and the version.
func (i Info) Lines(program string) string {
	modified := ""
	if i.Modified {
		modified = ", modified"
	}
	return program + " " + i.Version + "\nrevision " + i.Revision + modified + "\n" + i.Go + "\n"
}

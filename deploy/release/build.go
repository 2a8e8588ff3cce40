package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// platform is an operating system and a processor as Go names them.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

// services are the programs that are released.
var services = []string{"crm", "notification"}

// build makes a static program of a service into the folder dir and returns its path.
// Neither the machine nor the folder of the source leaves a trace in it, and its header
// is checked to be of the platform.
func build(ctx context.Context, s source, service string, p platform, dir string) (string, error) {
	path := filepath.Join(dir, service)
	ldflags := []string{
		"-s", "-w", "-buildid=",
		"-X", "fixdesk/pkg/version.release=" + s.version, "-X", "fixdesk/pkg/version.revision=" + s.revision,
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags="+strings.Join(ldflags, " "), "-o", path, "./cmd/"+service)
	cmd.Dir = filepath.Join(s.root, "services", service)
	// Without the workspace, each service has the versions of its own go.mod.
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=",
		"GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s for %s: %w\n%s", service, p, err, output)
	}
	return path, checkProgram(path, p)
}

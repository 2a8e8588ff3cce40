package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// verify runs systemd-analyze on a unit whose programs are replaced by one that
// exists, and returns what it complains of.
func verify(t *testing.T, unit string) string {
	t.Helper()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, service := range services {
		unit = strings.ReplaceAll(unit, "/usr/local/bin/"+service, "/bin/true")
	}
	path := filepath.Join(t.TempDir(), "fixdesk-test.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), tool, "verify", "--man=no", path).CombinedOutput()
	if err != nil {
		return string(output) + err.Error()
	}
	return string(output)
}

func TestSystemdUnitsAreValidAndHardened(t *testing.T) {
	for _, service := range services {
		content, err := os.ReadFile("../systemd/fixdesk-" + service + ".service")
		if err != nil {
			t.Fatal(err)
		}
		unit := string(content)
		if problems := verify(t, unit); strings.Contains(problems, "fixdesk-test.service") {
			t.Errorf("%s: %s", service, problems)
		}
		for _, want := range []string{"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "CapabilityBoundingSet=\n", "SystemCallFilter=@system-service", "KillMode=mixed"} {
			if !strings.Contains(unit, want) {
				t.Errorf("%s: %s is missing", service, want)
			}
		}
		broken := strings.Replace(unit, "ProtectSystem=strict", "ProtectSystem=very", 1)
		if problems := verify(t, broken); !strings.Contains(problems, "fixdesk-test.service:") { // the control
			t.Errorf("%s: a wrong value is not found: %s", service, problems)
		}
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fixdesk/pkg/dev/launch"
)

// step is one block of commands of docs/walkthrough.md and the lines that the
// page shows as its output.
type step struct {
	commands string
	expected []string
}

// walkthrough reads the page: blocks fenced as sh are commands; a block fenced
// as text after one shows its output, line by line, where … matches anything.
func walkthrough(page string) []step {
	var steps []step
	for _, block := range regexp.MustCompile("(?ms)^```(sh|text)\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		switch {
		case block[1] == "sh":
			steps = append(steps, step{commands: block[2]})
		case len(steps) > 0:
			last := &steps[len(steps)-1]
			last.expected = append(last.expected, strings.Split(strings.TrimSpace(block[2]), "\n")...)
		}
	}
	return steps
}

// missing is the first expected line that the output doesn't have, in the
// page's order.
func (s step) missing(output string) string {
	for _, line := range s.expected {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), "…", ".*")
		at := regexp.MustCompile("(?m)^\\s*" + pattern + "\\s*$").FindStringIndex(output)
		if at == nil {
			return line
		}
		output = output[at[1]:]
	}
	return ""
}

func TestWalkthroughWorksAsPrinted(t *testing.T) {
	t.Parallel()
	runPage(t, "walkthrough.md")
}

func TestClientsPageWorksAsPrinted(t *testing.T) {
	t.Parallel()
	runPage(t, "clients.md")
}

// runPage runs the commands of a page and compares what they print.
func runPage(t *testing.T, name string) {
	t.Helper()
	root, err := launch.Repository()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	steps := walkthrough(string(page))
	if len(steps) < 3 {
		t.Fatalf("%s has %d blocks of commands", name, len(steps))
	}
	r := oneEngineer(t)
	const boundary = "=== next step ==="
	script := "set -euo pipefail\n"
	for _, s := range steps {
		script += s.commands + "\necho '" + boundary + "'\n"
	}
	script = strings.NewReplacer(
		"http://localhost:8080", r.crm, "http://localhost:8081", r.notify, "http://localhost:8025", r.web,
		"smtp://localhost:1026", "smtp://"+r.inbound,
	).Replace(script)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash")
	cmd.Dir = root
	cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH"), "FIXDESK_STATE=" + r.state, "FIXDESK_BIN=" + filepath.Dir(launcher)}
	cmd.Stdin = strings.NewReader(script)
	output, err := cmd.CombinedOutput()
	outputs := strings.Split(string(output), boundary)
	if err != nil {
		t.Fatalf("step %d ended with %v:\n%s\nprinted:\n%s\n%s", len(outputs), err, steps[min(len(outputs), len(steps))-1].commands, output, r.logs())
	}
	for i, s := range steps {
		if line := s.missing(outputs[i]); line != "" {
			t.Errorf("step %d does not print %q:\n%s\nprinted:\n%s", i+1, line, s.commands, outputs[i])
		}
	}
}

func TestControlOutdatedWalkthroughFails(t *testing.T) {
	page := "# x\ntext\n```sh\necho one\necho '{\"id\":\"7\"}'\n```\nprints\n```text\none\n{\"id\":\"…\"}\n```\n"
	steps := walkthrough(page)
	if len(steps) != 1 || len(steps[0].expected) != 2 {
		t.Fatalf("read %+v", steps)
	}
	for output, want := range map[string]string{
		"one\n{\"id\":\"7\"}\n":   "",
		"one\n{\"name\":\"7\"}\n": `{"id":"…"}`,
		"{\"id\":\"7\"}\none\n":   `{"id":"…"}`, // in the wrong order
		"":                        "one",
	} {
		if got := steps[0].missing(output); got != want {
			t.Errorf("%q misses %q, want %q", output, got, fmt.Sprint(want))
		}
	}
}

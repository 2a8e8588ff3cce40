package command_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"fixdesk/pkg/command"
)

// outcome, when set, is what the program that this test starts as its own child does.
const outcome = "FIXDESK_COMMAND_TEST_OUTCOME"

func TestMain(m *testing.M) {
	if name := os.Getenv(outcome); name != "" {
		command.Main("program", func(context.Context) error {
			return map[string]error{
				"usage":  fmt.Errorf("%w: unexpected %q", command.ErrUsage, "x"),
				"help":   flag.ErrHelp,
				"logged": command.ErrLogged,
				"other":  errors.New("no database"),
			}[name]
		})
		return
	}
	os.Exit(m.Run())
}

func TestExitCodeAndErrorOfAProgram(t *testing.T) {
	for name, want := range map[string]struct {
		code int
		text string
	}{
		"success": {0, ""},
		"help":    {0, ""},
		"usage":   {2, "program: not understood: unexpected \"x\" (see program help)\n"},
		"logged":  {1, ""},
		"other":   {1, "program: no database\n"},
	} {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), outcome+"="+name)
		var errOut bytes.Buffer
		child.Stderr = &errOut
		err := child.Run()
		if code := child.ProcessState.ExitCode(); code != want.code || errOut.String() != want.text {
			t.Errorf("%s: %v, exit code %d and %q, want %d and %q", name, err, code, errOut.String(), want.code, want.text)
		}
	}
}

func TestFlagsAreParsedStrictly(t *testing.T) {
	parse := func(args ...string) (to string, text string, err error) {
		flags := flag.NewFlagSet("program send", flag.ContinueOnError)
		flags.StringVar(&to, "to", "nobody", "who gets it")
		var errOut bytes.Buffer
		err = command.Parse(flags, "Usage: program send", args, &errOut)
		return to, errOut.String(), err
	}
	if to, text, err := parse("--to", "ann"); to != "ann" || text != "" || err != nil {
		t.Errorf("%q, %q, %v", to, text, err)
	}
	for _, args := range [][]string{{"ann"}, {"--to", "ann", "bob"}, {"--to"}, {"--from", "ann"}} {
		if _, _, err := parse(args...); !errors.Is(err, command.ErrUsage) {
			t.Errorf("%q: %v", args, err)
		}
	}
	_, text, err := parse("-h")
	if !errors.Is(err, flag.ErrHelp) || errors.Is(err, command.ErrUsage) || !strings.HasPrefix(text, "Usage: program send\n") || !strings.Contains(text, "who gets it") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestCommandRunsUnlessItIsAskedForItsUsage(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		args []string
		want error
		ran  bool
	}{
		{nil, broken, true},
		{[]string{"-h"}, flag.ErrHelp, false},
		{[]string{"now"}, command.ErrUsage, false},
	} {
		ran := false
		err := command.Plain("program check", "Checks.", c.args, &bytes.Buffer{}, func() error { ran = true; return broken })
		if !errors.Is(err, c.want) || ran != c.ran {
			t.Errorf("%q: ran: %v, %v", c.args, ran, err)
		}
	}
}

func TestHealthAsksForLifeOrReadiness(t *testing.T) {
	broken := errors.New("not ready")
	for want, args := range map[string][]string{"/healthz": nil, "/readyz": {"--ready"}} {
		var asked string
		err := command.Health("program health", "PROGRAM_ADDR", args, &bytes.Buffer{}, func(path string) error { asked = path; return broken })
		if asked != want || !errors.Is(err, broken) {
			t.Errorf("%q asked for %q: %v", args, asked, err)
		}
	}
	err := command.Health("program health", "PROGRAM_ADDR", []string{"ready"}, &bytes.Buffer{}, func(string) error { t.Error("asked"); return nil })
	if !errors.Is(err, command.ErrUsage) {
		t.Errorf("an argument: %v", err)
	}
}

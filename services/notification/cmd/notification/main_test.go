package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"runtime"
	"strings"
	"testing"

	"fixdesk/pkg/command"
)

func TestHelpFits80ColumnsAndNamesEveryCommand(t *testing.T) {
	var out, errOut bytes.Buffer
	if err := run(t.Context(), []string{"help"}, &out, &errOut); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"notification check", "notification migrate", "NOTIFICATION_LEASE=60s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("more than 80 columns: %s", line)
		}
	}
}

func TestVersionIsPrintedAloneAndInHelp(t *testing.T) {
	for command, want := range map[string]string{"version": "notification dev\nrevision ", "--version": "\n" + runtime.Version() + " ", "help": "This is version dev."} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{command}, &out, &bytes.Buffer{}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v: %s", command, err, &out)
		}
	}
}

func TestUnknownCommandsAndArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"nonsense"}, {"serve", "now"}, {"check", "now"}, {"version", "now"}, {"health", "now"}, {"after-restore", "now"}, {"after-restore", "--before", "noon"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); !errors.Is(err, command.ErrUsage) {
			t.Errorf("%v is answered: %v", args, err)
		}
	}
}

func TestEachCommandPrintsItsUsageIn80Columns(t *testing.T) {
	for _, name := range []string{"serve", "check", "health", "migrate", "after-restore", "openapi", "version"} {
		var errOut bytes.Buffer
		if err := run(t.Context(), []string{name, "-h"}, &bytes.Buffer{}, &errOut); !errors.Is(err, flag.ErrHelp) || !strings.Contains(errOut.String(), "Usage: notification "+name) {
			t.Errorf("%s: %v: %s", name, err, &errOut)
		}
		for line := range strings.Lines(errOut.String()) {
			if len(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%s: more than 80 columns: %s", name, line)
			}
		}
	}
}

func TestHealthFailsWithoutAService(t *testing.T) {
	t.Setenv("NOTIFICATION_ADDR", "127.0.0.1:1")
	for _, args := range [][]string{{"health"}, {"health", "--ready"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "the service does not answer") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestOpenAPIPrintsTheDocumentWithoutADatabase(t *testing.T) {
	t.Setenv("NOTIFICATION_DATABASE_URL", "postgres://127.0.0.1:1/none")
	var out, errOut bytes.Buffer
	if err := run(t.Context(), []string{"openapi"}, &out, &errOut); err != nil || errOut.Len() > 0 {
		t.Fatal(err, &errOut)
	}
	var document struct {
		OpenAPI string
		Paths   map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &document); err != nil || document.OpenAPI != "3.1.0" || document.Paths["/v1/notifications"] == nil {
		t.Errorf("%v: %s", err, &out)
	}
}

func TestCheckNamesEveryBadVariable(t *testing.T) {
	t.Setenv("NOTIFICATION_RETRY_BASE", "soon")
	t.Setenv("NOTIFICATION_JWKS_URL", "nowhere")
	t.Setenv("NOTIFICATION_RETRY_BAES", "1s")
	var errOut bytes.Buffer
	err := run(t.Context(), []string{"check"}, &bytes.Buffer{}, &errOut)
	if err == nil {
		t.Fatal("bad values were accepted")
	}
	for _, want := range []string{"NOTIFICATION_RETRY_BASE has a bad value", "NOTIFICATION_JWKS_URL must be", "There is no variable NOTIFICATION_RETRY_BAES"} {
		if !strings.Contains(err.Error()+errOut.String(), want) {
			t.Errorf("%q is missing in: %v %s", want, err, &errOut)
		}
	}
}

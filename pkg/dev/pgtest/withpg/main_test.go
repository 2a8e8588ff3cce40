package main

import (
	"testing"

	"fixdesk/pkg/dev/pgtest"
)

func TestCommandGetsAServerAndItsExitCodeIsReturned(t *testing.T) {
	t.Setenv(pgtest.EnvURL, "")
	for script, want := range map[string]int{
		`test -n "$FIXDESK_TEST_DATABASE_URL"`:                  0,
		`test -z "$FIXDESK_TEST_DATABASE_URL"`:                  1,
		`test -d "$TMPDIR" && touch "$TMPDIR/x"`:                0,
		`exit 7`:                                                7,
		`kill -9 $$`:                                            1,
		`test "$FIXDESK_TEST_DATABASE_URL" = given && exit 100`: 1,
	} {
		if code, err := run([]string{"sh", "-c", script}); code != want || err != nil {
			t.Errorf("%s: exit code %d, want %d (%v)", script, code, want, err)
		}
	}
	t.Setenv(pgtest.EnvURL, "given")
	if code, err := run([]string{"sh", "-c", `test "$FIXDESK_TEST_DATABASE_URL" = given`}); code != 0 || err != nil {
		t.Errorf("a server that is given is not used: %d %v", code, err)
	}
}

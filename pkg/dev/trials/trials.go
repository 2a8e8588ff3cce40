// Package trials says how often a test repeats what has many outcomes: a fault, a
// race, a generated request.
//
// A test repeats so that it finds more, and fails at the first wrong outcome. Only a
// control, which shows that a test can fail, may repeat until it does (Shows).
package trials

import (
	"os"
	"strconv"
	"testing"
)

// Variable names the environment variable with a positive number, by which make
// test-long asks for long tests.
const Variable = "FIXDESK_TRIALS"

// Count is few by default, and many times the value of FIXDESK_TRIALS where that is
// set. It panics if the value is not a positive number.
func Count(few, many int) int {
	text := os.Getenv(Variable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		panic(Variable + " must be a positive number")
	}
	return many * n
}

// Long leaves the test to make test-long, which sets FIXDESK_TRIALS: faults of whole
// processes, migrations and searches of large tables take seconds of CPU time each.
// docs/promises.md names these tests.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skip("runs in make test-long")
	}
}

// Shows reports whether a trial without its safeguard goes wrong, as a control
// expects, in at most n repetitions: chance or a slow machine can prevent it in one.
func Shows(n int, wrong func() bool) bool {
	for range n {
		if wrong() {
			return true
		}
	}
	return false
}

// Package trials says how often a test repeats what has many outcomes: a fault, a
// race, a generated request.
package trials

import (
	"os"
	"strconv"
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

package trials_test

import (
	"testing"

	"fixdesk/pkg/dev/trials"
)

func TestCountIsSmallByDefaultAndMultipliedOnRequest(t *testing.T) {
	for value, want := range map[string]int{"": 3, "1": 20, "5": 100} {
		t.Setenv(trials.Variable, value)
		if n := trials.Count(3, 20); n != want {
			t.Errorf("%q: %d, want %d", value, n, want)
		}
	}
	for _, value := range []string{"0", "-1", "many"} {
		t.Setenv(trials.Variable, value)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is accepted", value)
				}
			}()
			trials.Count(3, 20)
		}()
	}
}

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

func TestShowsRepeatsUntilTheTrialGoesWrong(t *testing.T) {
	for wrongAt, want := range map[int]bool{1: true, 3: true, 4: false} {
		n := 0
		if got := trials.Shows(3, func() bool { n++; return n == wrongAt }); got != want || n != min(wrongAt, 3) {
			t.Errorf("wrong at the trial %d: %v after %d", wrongAt, got, n)
		}
	}
}

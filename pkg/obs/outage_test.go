package obs_test

import (
	"testing"
	"time"

	"fixdesk/pkg/obs"
)

func TestOutageBeginsWithTheFirstFailureAndEndsWithTheNextSuccess(t *testing.T) {
	t.Parallel()
	var o obs.Outage
	if n := o.Succeeded(""); n != 0 {
		t.Errorf("an outage of %d failures ended that never began", n)
	}
	for i, want := range []bool{true, false, false} {
		if o.Failed("") != want {
			t.Errorf("failure %d began the outage: %t", i, !want)
		}
	}
	if n := o.Succeeded(""); n != 3 {
		t.Errorf("%d failures, want 3", n)
	}
	if n := o.Succeeded(""); n != 0 {
		t.Errorf("it ended again, with %d failures", n)
	}
	if !o.Failed("") {
		t.Error("no other outage begins")
	}
}

func TestOutageOfManyEndsWhenAllThatFailedSucceed(t *testing.T) {
	t.Parallel()
	var o obs.Outage
	if !o.Failed("a") || o.Failed("b") || o.Failed("a") {
		t.Error("it began more than once, or not with the first failure")
	}
	if n := o.Succeeded("c") + o.Succeeded("a") + o.Succeeded("a"); n != 0 {
		t.Errorf("it ended while one fails, with %d failures", n)
	}
	if n := o.Succeeded("b"); n != 3 {
		t.Errorf("%d failures, want 3", n)
	}
}

func TestOutageEndsNoEarlierThanItsQuietTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := obs.Outage{Quiet: 5 * time.Second, Now: func() time.Time { return now }}
	o.Failed("")
	now = now.Add(4 * time.Second)
	o.Failed("")
	now = now.Add(4 * time.Second)
	if n := o.Succeeded(""); n != 0 {
		t.Errorf("it ended 4 s after its last failure, with %d failures", n)
	}
	now = now.Add(time.Second)
	if n := o.Succeeded(""); n != 2 {
		t.Errorf("%d failures, want 2", n)
	}
}

package delivery

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/notifyapi"
)

var policy = Policy{RetryBase: 30 * time.Second, RetryCap: time.Hour, GiveUpAfter: 48 * time.Hour}

func TestStepAfterEachOutcome(t *testing.T) {
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name     string
		outcome  notifyapi.Outcome
		after    time.Duration // since it was due
		status   notifyapi.RecipientStatus
		finished bool
	}{
		{"sent", notifyapi.OutcomeSent, 0, "sent", true},
		{"refused for good", notifyapi.OutcomePermanent, 0, "failed", true},
		{"refused for now", notifyapi.OutcomeTemporary, 0, "delayed", false},
		{"refused for now, near the end", notifyapi.OutcomeTemporary, 46 * time.Hour, "delayed", false},
		{"refused for now, too late", notifyapi.OutcomeTemporary, 48 * time.Hour, "failed", true},
		{"uncertain", notifyapi.OutcomeUncertain, 0, "uncertain", false},
		{"uncertain, too late", notifyapi.OutcomeUncertain, 49 * time.Hour, "uncertain", true},
		{"sent, very late", notifyapi.OutcomeSent, 100 * time.Hour, "sent", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := policy.After(tc.outcome, History{DueAt: due}, due.Add(tc.after))
			if got.Status != tc.status || got.Finished != tc.finished {
				t.Errorf("got %+v", got)
			}
			if !got.Finished && !got.NextAttemptAt.After(due.Add(tc.after)) {
				t.Errorf("next try at %v is not later", got.NextAttemptAt)
			}
		})
	}
}

func TestFailedTryBeforeTheExpiryIsTheLastWhenTheNextWouldBeTooLate(t *testing.T) {
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := Policy{RetryBase: time.Second, RetryCap: time.Second, GiveUpAfter: time.Hour}
	for _, tc := range []struct {
		name     string
		outcome  notifyapi.Outcome
		expires  time.Duration // after it was due
		status   notifyapi.RecipientStatus
		finished bool
	}{
		{"refused for now, time left", notifyapi.OutcomeTemporary, time.Minute, "delayed", false},
		{"refused for now, no time left", notifyapi.OutcomeTemporary, 1, "expired", true},
		{"refused for good", notifyapi.OutcomePermanent, 1, "failed", true},
		{"uncertain, time left", notifyapi.OutcomeUncertain, time.Minute, "uncertain", false},
		{"uncertain, no time left", notifyapi.OutcomeUncertain, 1, "uncertain", true},
		{"sent after the expiry", notifyapi.OutcomeSent, -time.Second, "sent", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := p.After(tc.outcome, History{DueAt: due, ExpiresAt: due.Add(tc.expires)}, due)
			if got.Status != tc.status || got.Finished != tc.finished {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestBackoffDoublesToItsCapWithFullJitter(t *testing.T) {
	for failures, limit := range map[int]time.Duration{
		1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 7: 32 * time.Minute, 8: time.Hour, 9: time.Hour, 40: time.Hour, 1000: time.Hour,
	} {
		var sum, longest time.Duration
		const draws = 2000
		for range draws {
			d := policy.backoff(failures)
			if d <= 0 || d > limit {
				t.Fatalf("failure %d: waits %v, want within %v", failures, d, limit)
			}
			sum += d
			longest = max(longest, d)
		}
		if mean := sum / draws; mean < limit*4/10 || mean > limit*6/10 || longest < limit*9/10 {
			t.Errorf("failure %d: mean %v, longest %v of %v: not spread over the whole", failures, mean, longest, limit)
		}
	}
}

func TestUncertainTriesAreBoundedWithGrowingPauses(t *testing.T) {
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var last time.Duration
	for uncertain := range maxUncertain {
		h := History{DueAt: due, Failures: uncertain, Uncertain: uncertain}
		got := policy.After(notifyapi.OutcomeUncertain, h, due)
		pause := got.NextAttemptAt.Sub(due)
		if got.Status != notifyapi.RecipientUncertain || got.Finished != (uncertain == maxUncertain-1) {
			t.Errorf("after %d uncertain tries: %+v", uncertain, got)
		}
		if !got.Finished && (pause <= last*3/2 || pause < 3*time.Minute) {
			t.Errorf("pause %v after %v", pause, last)
		}
		last = pause
	}
	// A temporary failure in between does not count.
	if got := policy.After(notifyapi.OutcomeUncertain, History{DueAt: due, Failures: 20, Uncertain: 1}, due); got.Finished {
		t.Errorf("%+v", got)
	}
}

func TestThrottledMailWaitsUntilTheTimeToGiveUp(t *testing.T) {
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 100 {
		wait, givenUp := policy.afterThrottling(History{DueAt: due}, due)
		if pause := wait.Sub(due); givenUp || pause < policy.RetryBase/2 || pause > policy.RetryBase {
			t.Fatalf("waits %v, given up %v", pause, givenUp)
		}
	}
	if _, givenUp := policy.afterThrottling(History{DueAt: due}, due.Add(policy.GiveUpAfter)); !givenUp {
		t.Error("never given up")
	}
}

func TestFirstIDIsTheLowestOfItsMillisecond(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	id := uuid.Must(uuid.NewV7()).String()
	after := time.Now().Add(time.Millisecond)
	if FirstID(before).String() > id || FirstID(after.Add(time.Millisecond)).String() <= id {
		t.Errorf("%v is not between %v and %v", id, FirstID(before), FirstID(after))
	}
	if FirstID(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)) != uuid.Nil {
		t.Error("a time before 1970 has no lower bound")
	}
}

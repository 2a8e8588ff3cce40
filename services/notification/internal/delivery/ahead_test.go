package delivery

import (
	"testing"
	"time"
)

func TestAsManyAreLeasedAsAreSentInAShortTimeWithinBounds(t *testing.T) {
	a := newAhead(10)
	now := time.Now()
	for _, tc := range []struct {
		name   string
		passed time.Duration
		sent   int64
		want   int
	}{
		{"the first claim", time.Hour, 0, 100},
		{"slow servers", time.Second, 10, 100},
		{"4,000 a second", 10 * time.Millisecond, 40, 200},
		{"fast servers", 5 * time.Millisecond, 200, 1000},
		{"a clock that went back", -time.Second, 200, 100},
		{"a clock that stands still", 0, 200, 100},
		{"after a pause", time.Minute, 400, 100},
	} {
		now = now.Add(tc.passed)
		a.sent.Add(tc.sent)
		if a.adapt(now); a.size() != tc.want {
			t.Errorf("%s: %d are leased, want %d", tc.name, a.size(), tc.want)
		}
	}
}

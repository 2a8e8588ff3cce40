package faulttest

import (
	"slices"
	"time"
)

// percentile sorts took.
func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)*p/100, len(took)-1)]
}

func median(took []time.Duration) time.Duration { return percentile(took, 50) }

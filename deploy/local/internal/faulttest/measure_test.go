package faulttest

import (
	"slices"
	"time"
)

// median sorts took.
func median(took []time.Duration) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)/2]
}

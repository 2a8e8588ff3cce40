package config

import (
	"errors"
	"strconv"
	"strings"
)

// RateLimit is how many requests a caller may make: PerMinute in the long run, and
// Burst at once. The zero value limits nothing.
type RateLimit struct{ PerMinute, Burst int }

// maxRate bounds both numbers.
const maxRate = 1_000_000_000

// UnmarshalText reads PerMinute+Burst, for example 3000+1000, or off.
func (r *RateLimit) UnmarshalText(text []byte) error {
	*r = RateLimit{}
	if string(text) == "off" {
		return nil
	}
	rate, burst, _ := strings.Cut(string(text), "+")
	perMinute, err1 := strconv.Atoi(rate)
	atOnce, err2 := strconv.Atoi(burst)
	if err1 != nil || err2 != nil || min(perMinute, atOnce) < 1 || max(perMinute, atOnce) > maxRate {
		return errors.New("want requests a minute and requests at once, both positive, as in 3000+1000, or off")
	}
	r.PerMinute, r.Burst = perMinute, atOnce
	return nil
}

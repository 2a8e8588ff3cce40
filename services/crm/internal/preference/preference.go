// Package preference has what each person wants to be mailed about: which kinds of
// notice, at once or in a digest, and the links in mails that end a kind.
//
// The database applies the preferences when a notice is written (trigger
// outbox_recipient). This package must not know what a notice says.
package preference

import (
	"errors"
	"regexp"
	"slices"
	"time"

	_ "time/tzdata" // time zones where the host has none, as in a container
)

// Interval is how often a person gets a digest.
type Interval string

// The intervals of digests.
const (
	Never  Interval = "never" // each mail at once
	Hourly Interval = "hourly"
	Daily  Interval = "daily"
)

// Preferences are what one person wants. Refused are the kinds of notice that are
// not mailed. With a digest, the kinds that it gathers are mailed with it instead
// of at once: after each full hour, or after Hour (0 to 23) o'clock in TimeZone, a
// name of the IANA time zone database.
type Preferences struct {
	Refused  []string
	Digest   Interval
	Hour     int
	TimeZone string
}

// Default is what a person has who never chose: every mail at once.
func Default() Preferences { return Preferences{Digest: Never, Hour: 8, TimeZone: "UTC"} }

// Mailed reports whether the kind of notice is mailed.
func (p Preferences) Mailed(kind string) bool { return !slices.Contains(p.Refused, kind) }

// errTimeZone is for people.
var errTimeZone = errors.New("must be the name of a time zone such as Europe/Berlin")

var timeZoneName = regexp.MustCompile(`^[A-Z][A-Za-z]*([/_+-][A-Za-z0-9]+)*$`)

// checkTimeZone refuses what is no name of the IANA time zone database.
func checkTimeZone(name string) error {
	if len(name) > 64 || !timeZoneName.MatchString(name) || name == "Local" {
		return errTimeZone
	}
	if _, err := time.LoadLocation(name); err != nil {
		return errTimeZone
	}
	return nil
}

// due is when a digest is mailed for which something has waited since. Without a
// digest that is at once: the person had one when it began to wait.
func (p Preferences) due(since time.Time) time.Time {
	switch p.Digest {
	case Hourly:
		return since.Truncate(time.Hour).Add(time.Hour)
	case Daily:
		zone, err := time.LoadLocation(p.TimeZone)
		if err != nil { // the name has left the database since it was checked
			zone = time.UTC
		}
		y, m, d := since.In(zone).Date()
		for {
			// Where a clock skips the hour, time.Date returns the one before or after.
			if at := time.Date(y, m, d, p.Hour, 0, 0, 0, zone); at.After(since) {
				return at
			}
			d++
		}
	}
	return since
}

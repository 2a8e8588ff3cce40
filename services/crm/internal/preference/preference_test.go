package preference

import (
	"testing"
	"time"
)

func TestDigestIsDueAtTheNextHourOfItsInterval(t *testing.T) {
	for _, tc := range []struct {
		name, since, want string
		p                 Preferences
	}{
		{"none: at once", "2026-01-12T09:30:10Z", "2026-01-12T09:30:10Z", Preferences{Digest: Never, Hour: 8, TimeZone: "Europe/Berlin"}},
		{"hourly", "2026-01-12T09:30:10Z", "2026-01-12T10:00:00Z", Preferences{Digest: Hourly, TimeZone: "Asia/Kolkata"}},
		{"hourly, at the hour", "2026-01-12T09:00:00Z", "2026-01-12T10:00:00Z", Preferences{Digest: Hourly}},
		{"hourly, over midnight", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", Preferences{Digest: Hourly}},
		{"daily, before the hour", "2026-01-12T06:59:59Z", "2026-01-12T07:00:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"}},
		{"daily, at the hour", "2026-01-12T07:00:00Z", "2026-01-13T07:00:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"}},
		{"daily, in summer", "2026-07-12T06:30:00Z", "2026-07-13T06:00:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"}},
		{"daily, over a change of the clock", "2026-03-28T08:00:00Z", "2026-03-29T06:00:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"}},
		{"daily, at midnight", "2026-01-12T22:59:00Z", "2026-01-12T23:00:00Z", Preferences{Digest: Daily, Hour: 0, TimeZone: "Europe/Berlin"}},
		{"daily, another date there", "2026-01-12T20:00:00Z", "2026-01-12T21:00:00Z", Preferences{Digest: Daily, Hour: 10, TimeZone: "Pacific/Auckland"}},
		{"daily, half an hour off", "2026-01-12T02:29:00Z", "2026-01-12T02:30:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Asia/Kolkata"}},
		{"daily, a zone that is gone", "2026-01-12T06:00:00Z", "2026-01-12T08:00:00Z", Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Atlantis"}},
	} {
		since, err := time.Parse(time.RFC3339, tc.since)
		if err != nil {
			t.Fatal(err)
		}
		if got := tc.p.due(since).UTC().Format(time.RFC3339); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

// Clocks skip an hour and repeat one in each of these zones.
func TestDailyDigestIsDueWithinTwentySixHours(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Cairo", "UTC"} {
		instants := instantsOf2026(t, zone)
		for hour := range 24 {
			p := Preferences{Digest: Daily, Hour: hour, TimeZone: zone}
			for _, since := range instants {
				if wait := p.due(since).Sub(since); wait <= 0 || wait > 26*time.Hour {
					t.Fatalf("%s at %d: %s after %s", zone, hour, wait, since)
				}
			}
		}
	}
}

// instantsOf2026 returns an instant for every five hours of the days around a change of
// the zone's clock, and for every fifty of the others, which are alike.
func instantsOf2026(t *testing.T, zone string) (instants []time.Time) {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	offset := func(at time.Time) int {
		_, seconds := at.In(location).Zone()
		return seconds
	}
	const near = 72 * time.Hour
	for n, at := 0, time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC); at.Year() == 2026; n, at = n+1, at.Add(5*time.Hour) {
		if n%10 == 0 || offset(at.Add(-near)) != offset(at.Add(near)) {
			instants = append(instants, at)
		}
	}
	return instants
}

func TestTimeZoneIsANameOfTheDatabase(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kolkata", "Etc/GMT+3", "America/Port-au-Prince", "CET"} {
		if err := checkTimeZone(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "Local", "Europe/Atlantis", "europe/berlin", "../etc/passwd", "/etc/localtime", "Europe/../UTC", "UTC+1", "+01:00", "Europe/Berlin\x00", "Europe/Berlin ", "Europe//Berlin", "posixrules", "tzdata.zi"} {
		if checkTimeZone(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

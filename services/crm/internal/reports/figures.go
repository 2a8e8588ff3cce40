package reports

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
)

// row is figures of a day and a person. Without a person (uuid.Nil) it counts for
// the day alone, without a day for the person alone. The durations are buckets as
// ReportFigures writes them.
type row = crmdb.ReportFiguresRow

// tally is a sum of rows.
type tally struct {
	created, accepted, resolved, reopened int
	toAccept, toResolve                   [][]byte
}

func (t *tally) add(r row) {
	t.created += int(r.Created)
	t.accepted += int(r.Accepted)
	t.resolved += int(r.Resolved)
	t.reopened += int(r.Reopened)
	t.toAccept = append(t.toAccept, r.ToAccept)
	t.toResolve = append(t.toResolve, r.ToResolve)
}

func (t *tally) figures(s *sorter) Figures {
	return Figures{
		Created: t.created, Accepted: t.accepted, Resolved: t.resolved, Reopened: t.reopened,
		TimeToAccept: s.spread(t.toAccept), TimeToResolve: s.spread(t.toResolve),
	}
}

type tallies struct {
	days   map[string]*tally
	people map[uuid.UUID]*tally
	total  tally
}

func group(rows []row) tallies {
	g := tallies{days: map[string]*tally{}, people: map[uuid.UUID]*tally{}}
	for _, r := range rows {
		if r.Day != "" {
			g.total.add(r)
			addTo(g.days, r.Day, r)
		}
		if r.PersonID != uuid.Nil {
			addTo(g.people, r.PersonID, r)
		}
	}
	return g
}

func addTo[K comparable](all map[K]*tally, key K, r row) {
	t := all[key]
	if t == nil {
		t = &tally{}
		all[key] = t
	}
	t.add(r)
}

// sorter sorts buckets by counting; it is reused for many sets.
type sorter struct {
	counts [1 << 15]int32
	sorted []uint16
}

func (s *sorter) spread(parts [][]byte) Spread {
	s.sort(parts)
	n := len(s.sorted)
	if n == 0 {
		return Spread{}
	}
	return Spread{Count: n, Median: percentile(s.sorted, 0.5), P90: percentile(s.sorted, 0.9)}
}

func (s *sorter) sort(parts [][]byte) {
	n, highest := 0, uint16(0)
	for _, p := range parts {
		n += len(p) / 2
		for ; len(p) >= 2; p = p[2:] {
			bucket := binary.BigEndian.Uint16(p) & (1<<15 - 1)
			s.counts[bucket]++
			highest = max(highest, bucket)
		}
	}
	s.sorted = slices.Grow(s.sorted[:0], n)
	for bucket := range highest + 1 {
		for range s.counts[bucket] {
			s.sorted = append(s.sorted, bucket)
		}
		s.counts[bucket] = 0
	}
}

// percentile interpolates between the neighbours of a rank, as PostgreSQL's
// percentile_cont does, and rounds to milliseconds.
func percentile(sorted []uint16, p float64) float64 {
	rank := p * float64(len(sorted)-1)
	below := math.Floor(rank)
	low, high := seconds(sorted[int(below)]), seconds(sorted[int(math.Ceil(rank))])
	return math.Round(1000*(low+(high-low)*(rank-below))) / 1000
}

// seconds is the middle of a bucket; see ReportFigures.
func seconds(bucket uint16) float64 { return math.Expm1(float64(bucket) / 1000) }

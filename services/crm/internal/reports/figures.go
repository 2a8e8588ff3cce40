package reports

import (
	"encoding/binary"
	"math"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmdb"
)

// row is figures of a day and a person; without a person (uuid.Nil) they count for
// the day alone. The durations are buckets as ReportFigures writes them.
type row = crmdb.ReportFiguresRow

// tally is a sum of rows.
type tally struct {
	created, accepted, resolved, reopened int
	durations                             []*durations
}

// durations are those of a row; a day and a person share them.
type durations struct{ toAccept, toResolve []byte }

func (d *durations) accept() []byte  { return d.toAccept }
func (d *durations) resolve() []byte { return d.toResolve }

func (t *tally) add(r *row, d *durations) {
	t.created += int(r.Created)
	t.accepted += int(r.Accepted)
	t.resolved += int(r.Resolved)
	t.reopened += int(r.Reopened)
	if d != nil {
		t.durations = append(t.durations, d)
	}
}

// figures computes with h, which is empty, and adds the durations to the others
// unless they are nil.
func (t *tally) figures(h, toAccept, toResolve *histogram) Figures {
	return Figures{
		Created: t.created, Accepted: t.accepted, Resolved: t.resolved, Reopened: t.reopened,
		TimeToAccept:  h.spreadOf(t.durations, (*durations).accept, toAccept),
		TimeToResolve: h.spreadOf(t.durations, (*durations).resolve, toResolve),
	}
}

// sums computes the figures of many tallies.
type sums struct {
	one   histogram
	total Figures
	// toAccept and toResolve are the durations of all that have been added.
	toAccept, toResolve histogram
}

// of returns the figures of a tally.
func (s *sums) of(t *tally) Figures { return t.figures(&s.one, nil, nil) }

// add returns the figures of a tally and adds them to the total.
func (s *sums) add(t *tally) Figures {
	f := t.figures(&s.one, &s.toAccept, &s.toResolve)
	s.total.Created += f.Created
	s.total.Accepted += f.Accepted
	s.total.Resolved += f.Resolved
	s.total.Reopened += f.Reopened
	return f
}

// all returns the figures of the total.
func (s *sums) all() Figures {
	s.total.TimeToAccept, s.total.TimeToResolve = s.toAccept.spread(), s.toResolve.spread()
	return s.total
}

// grouped are sums of rows by day and by person.
type grouped struct {
	days   map[string]*tally
	people map[uuid.UUID]*tally
}

func (g *grouped) add(r *row) {
	var d *durations
	if len(r.ToAccept) > 0 || len(r.ToResolve) > 0 {
		d = &durations{r.ToAccept, r.ToResolve}
	}
	tallyOf(g.days, r.Day).add(r, d)
	tallyOf(g.people, r.PersonID).add(r, d)
}

func tallyOf[K comparable](all map[K]*tally, key K) *tally {
	t := all[key]
	if t == nil {
		t = &tally{}
		all[key] = t
	}
	return t
}

// histogram counts buckets.
type histogram struct {
	counts [1 << 15]int32
	n      int
	end    int // beyond the highest bucket
}

// spreadOf returns the spread of one kind of durations, which it also adds to into
// unless that is nil. The histogram is empty before and afterwards.
func (h *histogram) spreadOf(all []*durations, kind func(*durations) []byte, into *histogram) Spread {
	for _, d := range all {
		p := kind(d)
		h.n += len(p) / 2
		for ; len(p) >= 2; p = p[2:] {
			bucket := int(binary.BigEndian.Uint16(p) & (1<<15 - 1))
			h.counts[bucket]++
			h.end = max(h.end, bucket+1)
		}
	}
	s := h.spread()
	if into != nil {
		into.n, into.end = into.n+h.n, max(into.end, h.end)
		for bucket, n := range h.counts[:h.end] {
			into.counts[bucket] += n
		}
	}
	clear(h.counts[:h.end])
	h.n, h.end = 0, 0
	return s
}

func (h *histogram) spread() Spread {
	if h.n == 0 {
		return Spread{}
	}
	at, before := 0, 0
	percentile := func(p float64) float64 {
		rank := p * float64(h.n-1)
		below := math.Floor(rank)
		at, before = h.reach(at, before, int(below))
		above, _ := h.reach(at, before, int(math.Ceil(rank)))
		low, high := seconds(at), seconds(above)
		return math.Round(1000*(low+(high-low)*(rank-below))) / 1000
	}
	return Spread{Count: h.n, Median: percentile(0.5), P90: percentile(0.9)}
}

// reach returns the bucket of a rank, from one on before which seen were counted, and
// how many are counted before that.
func (h *histogram) reach(bucket, seen, rank int) (of, before int) {
	for seen+int(h.counts[bucket]) <= rank {
		seen += int(h.counts[bucket])
		bucket++
	}
	return bucket, seen
}

// seconds is the middle of a bucket; see ReportFigures.
func seconds(bucket int) float64 { return math.Expm1(float64(bucket) / 1000) }

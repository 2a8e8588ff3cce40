package eventstream

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestEventIDsAreParsedStrictly(t *testing.T) {
	t.Parallel()
	id := uuid.MustParse("019a0000-0000-7000-8000-00000000000a")
	for text, want := range map[string]bool{
		"0":                                      true,
		"741":                                    true,
		"9223372036854775807":                    true,
		"0-00000000-0000-0000-0000-000000000000": true,
		"741-" + id.String():                     true,
		"":                                       false,
		"741-":                                   false,
		"-741":                                   false,
		"-" + id.String():                        false,
		"+741":                                   false,
		"0741-" + id.String():                    false,
		" 741":                                   false,
		"9223372036854775808":                    false,
		"18446744073709551615-" + id.String():    false,
		"741-" + strings.ToUpper(id.String()):    false,
		"741-" + strings.ReplaceAll(id.String(), "-", ""): false,
		"741-urn:uuid:" + id.String():                     false,
		"741-" + id.String() + "-":                        false,
		"7.4e2":                                           false,
		"741-{19a0000-0000-7000-8000-00000000000a}":       false,
		"741\n":                  false,
		strings.Repeat("9", 500): false,
		"741-019a0000-0000-7000-8000-00000000000g":                   false,
		"741-019a0000-0000-7000-8000-00000000000a; drop table users": false,
	} {
		p, ok := ParseEventID(text)
		if ok != want || ok && p.String() != text {
			t.Errorf("%q: %v, %t", text, p, ok)
		}
	}
}

func FuzzEventID(f *testing.F) {
	f.Add("741-019a0000-0000-7000-8000-00000000000a")
	f.Add("0-00000000-0000-0000-0000-000000000000")
	f.Add("4711")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := ParseEventID(text); ok && p.String() != text {
			t.Errorf("%q became %q", text, p)
		}
	})
}

func TestWindowReturnsEventsBehindAPositionUnlessItBeginsLater(t *testing.T) {
	t.Parallel()
	w := newWindow(10).extended([]*event{{position: 11}, {position: 12}, {position: 15}})
	for _, tc := range []struct {
		from Position
		ok   bool
		n    int
	}{
		{9, false, 0},
		{10, true, 3},
		{11, true, 2},
		{13, true, 1},
		{15, true, 0},
		{99, true, 0}, // another replica has read further
	} {
		events, ok := w.since(tc.from)
		if ok != tc.ok || len(events) != tc.n {
			t.Errorf("since %v: %d events, %t", tc.from, len(events), ok)
		}
	}
}

func TestWindowIsBoundedInNumberAndSizeAndNeverChanges(t *testing.T) {
	t.Parallel()
	w := newWindow(1)
	many := make([]*event, windowEvents)
	for i := range many {
		many[i] = &event{position: Position(2 + i), staff: []byte("x")}
	}
	w = w.extended(many)
	for range 100 {
		w = w.extended([]*event{{position: w.to + 1, staff: []byte("x")}})
	}
	if len(w.events) != windowEvents {
		t.Errorf("%d events", len(w.events))
	}
	if events, ok := w.since(w.from); !ok || len(events) != windowEvents || w.events[0].position <= w.from {
		t.Errorf("the window begins at %v with %v", w.from, w.events[0].position)
	}
	if _, ok := w.since(w.from - 1); ok {
		t.Error("a position before the window is served from it")
	}

	before := len(w.events)
	large := make([]byte, windowBytes/3)
	var bigger *window
	for i := range 9 {
		bigger = w.extended([]*event{{position: w.to + 1, staff: large}})
		if len(w.events) == before && i == 0 && bigger.events[0].position == w.events[0].position {
			t.Error("a large event displaces nothing")
		}
		w, before = bigger, len(bigger.events)
	}
	if n := len(bigger.events); n != 3 {
		t.Errorf("%d large events are kept", n)
	}
	if huge := w.extended([]*event{{position: w.to + 1, staff: make([]byte, windowBytes+1)}}); len(huge.events) != 0 || huge.from != w.to+1 {
		t.Errorf("an event larger than the window is kept, from %v", huge.from)
	}
}

func TestOnlyEventsWakeTheStreams(t *testing.T) {
	t.Parallel()
	s := &Service{}
	w := newWindow(1)
	s.window.Store(w)
	s.publish(w.extended(nil))
	select {
	case <-w.next:
		t.Fatal("a reading without events wakes the streams")
	default:
	}
	s.publish(s.window.Load().extended([]*event{{position: 6}}))
	<-w.next
}

func TestStreamsAreCountedByAccount(t *testing.T) {
	t.Parallel()
	o := openStreams{byAccount: map[uuid.UUID]int{}}
	a, b := uuid.New(), uuid.New()
	for range 2 {
		if got := o.add(a, 2); got != admitted {
			t.Fatalf("outcome %d", got)
		}
	}
	if got := o.add(a, 2); got != accountFull {
		t.Errorf("one too many: outcome %d", got)
	}
	if got := o.add(b, 2); got != admitted {
		t.Errorf("another account: outcome %d", got)
	}
	o.remove(a)
	if got := o.add(a, 2); got != admitted || o.count() != 3 {
		t.Errorf("after one is closed: outcome %d, %d open", got, o.count())
	}
	o.total = maxStreams
	if got := o.add(uuid.New(), 2); got != replicaFull {
		t.Errorf("a full replica: outcome %d", got)
	}
	o.total = 3
	for _, account := range []uuid.UUID{a, a, b} {
		o.remove(account)
	}
	if len(o.byAccount) != 0 || o.count() != 0 {
		t.Errorf("%d accounts and %d streams remain", len(o.byAccount), o.count())
	}
}

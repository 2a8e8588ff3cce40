package eventstream

import (
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestFeedPositionsAreReadByteForByteOrNotAtAll(t *testing.T) {
	id := uuid.MustParse("019a0000-0000-7000-8000-00000000000a")
	for text, want := range map[string]bool{
		"0-00000000-0000-0000-0000-000000000000": true,
		"18446744073709551615-" + id.String():    true,
		"741-" + id.String():                     true,
		"":                                       false,
		"741":                                    false,
		"741-":                                   false,
		"-" + id.String():                        false,
		"+741-" + id.String():                    false,
		"0741-" + id.String():                    false,
		" 741-" + id.String():                    false,
		"18446744073709551616-" + id.String():    false,
		"741-" + strings.ToUpper(id.String()):    false,
		"741-" + strings.ReplaceAll(id.String(), "-", ""):            false,
		"741-urn:uuid:" + id.String():                                false,
		"741-" + id.String() + "-":                                   false,
		"7.4e2-" + id.String():                                       false,
		"741-{19a0000-0000-7000-8000-00000000000a}":                  false,
		"741-" + id.String() + "\n":                                  false,
		strings.Repeat("9", 500) + "-" + id.String():                 false,
		"741-019a0000-0000-7000-8000-00000000000g":                   false,
		"741-019a0000-0000-7000-8000-00000000000a; drop table users": false,
	} {
		p, ok := ParseFeedPosition(text)
		if ok != want || ok && p.String() != text {
			t.Errorf("%q: %v, %t", text, p, ok)
		}
	}
}

func FuzzFeedPosition(f *testing.F) {
	f.Add("741-019a0000-0000-7000-8000-00000000000a")
	f.Add("0-00000000-0000-0000-0000-000000000000")
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := ParseFeedPosition(text); ok && p.String() != text {
			t.Errorf("%q became %q", text, p)
		}
	})
}

func at(transaction uint64, id byte) FeedPosition {
	return FeedPosition{Transaction: transaction, ID: uuid.UUID{15: id}}
}

func TestAWindowGivesWhatIsBehindAPositionOrSaysThatItBeginsLater(t *testing.T) {
	w := newWindow(at(10, 0)).extended([]*news{{at: at(10, 1)}, {at: at(10, 2)}, {at: at(12, 1)}}, at(14, 0))
	for _, tc := range []struct {
		from FeedPosition
		ok   bool
		n    int
	}{
		{at(9, 9), false, 0},
		{at(10, 0), true, 3},
		{at(10, 1), true, 2},
		{at(11, 0), true, 1},
		{at(12, 1), true, 0},
		{at(14, 0), true, 0},
		{at(99, 0), true, 0}, // read further by another replica
	} {
		fresh, ok := w.since(tc.from)
		if ok != tc.ok || len(fresh) != tc.n {
			t.Errorf("since %v: %d news, %t", tc.from, len(fresh), ok)
		}
	}
}

func TestAWindowIsBoundedInNumberAndSizeAndNeverChanges(t *testing.T) {
	w := newWindow(at(1, 0))
	many := make([]*news, windowNews)
	for i := range many {
		many[i] = &news{at: at(uint64(2+i), 1), staff: []byte("x")}
	}
	w = w.extended(many, at(windowNews+2, 0))
	for i := range uint64(100) {
		w = w.extended([]*news{{at: at(windowNews+2+i, 1), staff: []byte("x")}}, at(windowNews+3+i, 0))
	}
	if len(w.news) != windowNews {
		t.Errorf("%d news", len(w.news))
	}
	if fresh, ok := w.since(w.from); !ok || len(fresh) != windowNews || w.news[0].at.Compare(w.from) <= 0 {
		t.Errorf("the window begins at %v with %v", w.from, w.news[0].at)
	}
	if _, ok := w.since(at(w.from.Transaction, 0)); ok {
		t.Error("a position before the window is served from it")
	}

	before := len(w.news)
	large := make([]byte, windowBytes/3)
	var bigger *window
	for i := range byte(9) {
		bigger = w.extended([]*news{{at: at(1e6, i+1), staff: large}}, at(1e6+1, 0))
		if len(w.news) == before && i == 0 && bigger.news[0].at == w.news[0].at {
			t.Error("a large event displaces nothing")
		}
		w, before = bigger, len(bigger.news)
	}
	if n := len(bigger.news); n != 3 {
		t.Errorf("%d large events are kept", n)
	}
	if huge := w.extended([]*news{{at: at(2e6, 1), staff: make([]byte, windowBytes+1)}}, at(2e6+1, 0)); len(huge.news) != 0 || huge.from != at(2e6, 1) {
		t.Errorf("what is larger than the window is kept, from %v", huge.from)
	}
}

func TestOnlyNewsWakesTheStreams(t *testing.T) {
	f := &Feed{}
	w := newWindow(at(1, 0))
	f.window.Store(w)
	f.publish(w.extended(nil, at(5, 0)))
	select {
	case <-w.next:
		t.Fatal("a horizon that moved wakes the streams")
	default:
	}
	f.publish(f.window.Load().extended([]*news{{at: at(6, 1)}}, at(7, 0)))
	<-w.next
}

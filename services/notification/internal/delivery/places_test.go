package delivery

import (
	"testing"
	"time"
)

// The control is the claim at the same time, which begins where the one before ended.
func TestRecipientWithAnEarlierPlaceIsFoundByTheNextReadOfTheWholeQueue(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	var queue reader
	claim := func(n int) (order []string, more bool) {
		t.Helper()
		taken, err := l.store.claim(t.Context(), n, c.now, queue.next(c.now), l.Lease)
		if err != nil {
			t.Fatal(err)
		}
		for _, next := range taken.tasks {
			order = append(order, next.notificationID.String())
		}
		return order, queue.claimed(taken, n)
	}
	long := seed(t, l.DB, c.now, c.now, 12).String()
	if got, more := claim(4); len(got) != 4 || !more {
		t.Fatalf("claimed %d, more: %v", len(got), more)
	}
	early := seed(t, l.DB, c.now, c.now.Add(-time.Hour), 1).String()
	if got, more := claim(1); len(got) != 1 || got[0] != long || !more {
		t.Errorf("at the same time: claimed %s of %s, more: %v", got, long, more)
	}
	c.now = c.now.Add(wholeEvery)
	if got, more := claim(1); len(got) != 1 || got[0] != early || !more {
		t.Errorf("later: claimed %s, not %s, more: %v", got, early, more)
	}
	if got, more := claim(1); len(got) != 1 || got[0] != long || !more {
		t.Errorf("from the beginning: claimed %s of %s, more: %v", got, long, more)
	}
	earlier := seed(t, l.DB, c.now, c.now.Add(-2*time.Hour), 1).String()
	c.now, queue.woken = c.now.Add(wokenEvery), true
	if got, more := claim(1); len(got) != 1 || got[0] != earlier || !more {
		t.Errorf("woken: claimed %s, not %s, more: %v", got, earlier, more)
	}
}

// A queue is empty only when it was read from its beginning.
func TestQueueIsReadFromItsBeginningBeforeItIsTakenForEmpty(t *testing.T) {
	t.Parallel()
	l, c := newLoop(t)
	var queue reader
	claim := func(n int) (size int, more bool) {
		t.Helper()
		taken, err := l.store.claim(t.Context(), n, c.now, queue.next(c.now), l.Lease)
		if err != nil {
			t.Fatal(err)
		}
		return taken.size(), queue.claimed(taken, n)
	}
	seed(t, l.DB, c.now, c.now, 2)
	if n, more := claim(2); n != 2 || !more {
		t.Fatalf("claimed %d, more: %v", n, more)
	}
	seed(t, l.DB, c.now, c.now.Add(-time.Hour), 1)
	if n, more := claim(2); n != 0 || !more {
		t.Errorf("behind the last: claimed %d, more: %v", n, more)
	}
	if n, more := claim(2); n != 1 || more {
		t.Errorf("from the beginning: claimed %d, more: %v", n, more)
	}
}

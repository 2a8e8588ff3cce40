package httpapi

import (
	"container/list"
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// queued waits until n requests wait in a queue.
func (a *admission) queued(t *testing.T, queue *list.List, n int) {
	t.Helper()
	length := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return queue.Len()
	}
	for end := time.Now().Add(4 * time.Minute); length() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d requests wait, want %d", length(), n)
		}
	}
}

func TestRequestWhoseBodyCameIsServedBeforeNewOnes(t *testing.T) {
	t.Parallel()
	a := newAdmission(1, prometheus.NewRegistry())
	first := slot{admission: a}
	if err := first.acquire(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	order := make(chan string, 2)
	serve := func(name string, isNew bool) {
		// The clock of a new request begins when it waits; one that is refused comes again.
		s := slot{admission: a}
		for s.acquire(t.Context(), isNew) != nil {
		}
		order <- name
		s.release()
	}
	go serve("new", true)
	a.queued(t, &a.arrived, 1)
	go serve("again", false)
	a.queued(t, &a.again, 1)
	first.release()
	if got := []string{<-order, <-order}; got[0] != "again" || got[1] != "new" {
		t.Errorf("served %v", got)
	}
	if n := a.inProgress(); n > 1 {
		t.Errorf("%d slots are held", n)
	}
}

func TestRequestThatEndsWhileItWaitsKeepsNoSlot(t *testing.T) {
	t.Parallel()
	a := newAdmission(1, prometheus.NewRegistry())
	first := slot{admission: a}
	if err := first.acquire(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		s := slot{admission: a}
		ended <- s.acquire(ctx, false)
	}()
	a.queued(t, &a.again, 1)
	cancel()
	if err := <-ended; err == nil {
		t.Error("a request that ended has a slot")
	}
	a.queued(t, &a.again, 0)
	first.release()
	if n := a.inProgress(); n != 0 {
		t.Errorf("%d slots are held", n)
	}
}

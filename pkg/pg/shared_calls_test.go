package pg_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fixdesk/pkg/pg"
)

// sharedValue is a value that calls read; each waits at gate after it has read.
type sharedValue struct {
	*pg.SharedCalls[string, string]
	value atomic.Value
	calls atomic.Int32
	gate  chan struct{}
	read  chan struct{} // after each call
}

func newSharedValue() *sharedValue {
	s := &sharedValue{SharedCalls: pg.NewSharedCalls[string, string](), gate: make(chan struct{}), read: make(chan struct{}, 100)}
	s.value.Store("before")
	return s
}

func (s *sharedValue) ask(ctx context.Context, key string) <-chan sharedAnswer {
	answer := make(chan sharedAnswer, 1)
	go func() {
		value, err := s.Do(ctx, key, func(context.Context) (string, error) {
			s.calls.Add(1)
			value := s.value.Load().(string)
			s.read <- struct{}{}
			<-s.gate
			return key + " " + value, nil
		})
		answer <- sharedAnswer{status: value, err: err}
	}()
	return answer
}

// The first caller is the control: its call began before the change, so a caller that
// joined it would get what was before.
func TestSharedCallIsNeverOlderThanItsCaller(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	first := s.ask(t.Context(), "a")
	<-s.read
	s.value.Store("after")
	later := []<-chan sharedAnswer{s.ask(t.Context(), "a"), s.ask(t.Context(), "a"), s.ask(t.Context(), "b")}
	close(s.gate)
	if a := <-first; a.status != "a before" || a.err != nil {
		t.Errorf("a call from before the change: %+v", a)
	}
	for i, want := range []string{"a after", "a after", "b after"} {
		if a := <-later[i]; a.status != want || a.err != nil {
			t.Errorf("got %+v, want %s", a, want)
		}
	}
}

func TestCallsThatArriveDuringOneShareTheNext(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	first := s.ask(t.Context(), "a")
	<-s.read
	var all, begun sync.WaitGroup
	for range 50 {
		begun.Add(1)
		all.Go(func() {
			begun.Done()
			if a := <-s.ask(t.Context(), "a"); a.status != "a before" || a.err != nil {
				t.Errorf("got %+v", a)
			}
		})
	}
	begun.Wait()
	close(s.gate)
	all.Wait()
	<-first
	// Those that hadn't asked yet when the gate opened need a few more.
	if n := s.calls.Load(); n > 25 {
		t.Errorf("51 callers made %d calls", n)
	}
}

func TestCallsOfOtherKeysWaitForNothing(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	defer close(s.gate)
	s.ask(t.Context(), "a")
	s.ask(t.Context(), "b")
	<-s.read
	<-s.read
}

func TestHangingSharedCallDelaysNoLaterOnes(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	defer close(s.gate)
	s.ask(t.Context(), "a")
	<-s.read
	s.ask(t.Context(), "a")
	<-s.read // though the first hangs
}

func TestCallerOfASharedCallMayLeave(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	first := s.ask(t.Context(), "a")
	<-s.read
	ctx, cancel := context.WithCancel(t.Context())
	leaves, stays := s.ask(ctx, "a"), s.ask(t.Context(), "a")
	cancel()
	if a := <-leaves; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got %+v", a)
	}
	close(s.gate)
	for _, answer := range []<-chan sharedAnswer{first, stays, s.ask(t.Context(), "a")} {
		if a := <-answer; a.status != "a before" || a.err != nil {
			t.Errorf("another got %+v", a)
		}
	}
}

// The second caller's call panics on a goroutine of its own, and the key can be used again.
func TestPanicOfASharedCallIsAnErrorOfItsCallers(t *testing.T) {
	t.Parallel()
	s := newSharedValue()
	first := s.ask(t.Context(), "a")
	<-s.read
	failed := make(chan error, 1)
	begins := make(chan struct{})
	go func() {
		_, err := s.Do(t.Context(), "a", func(context.Context) (string, error) {
			close(begins)
			panic("a defect")
		})
		failed <- err
	}()
	select {
	case <-begins: // since the first hangs
	case <-time.After(time.Minute):
		t.Fatal("the second call does not begin")
	}
	if err := <-failed; err == nil {
		t.Error("a call that panicked succeeded")
	}
	close(s.gate)
	<-first
	if a := <-s.ask(t.Context(), "a"); a.err != nil {
		t.Errorf("a later call: %v", a.err)
	}
}

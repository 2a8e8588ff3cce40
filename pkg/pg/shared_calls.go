package pg

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// SharedCalls shares the result of a call with others that ask for the same: while a call
// is under way, those that arrive with its key wait for its end and share the next one. So
// a result is never older than the question, and who asks alone waits for nothing. It is
// safe for concurrent use. Shared is for rows that one statement reads by their keys.
type SharedCalls[K comparable, V any] struct {
	mu   sync.Mutex
	keys map[K]*callsOfKey[V] // those with a call under way
}

type callsOfKey[V any] struct {
	running int
	next    *sharedCall[V] // nil when nobody waits for it
}

// sharedCall is one call of several callers.
type sharedCall[V any] struct {
	call  func(context.Context) (V, error)
	slow  *time.Timer   // begins it
	done  chan struct{} // closed when value and err are set
	value V
	err   error
}

// NewSharedCalls makes a SharedCalls.
func NewSharedCalls[K comparable, V any]() *SharedCalls[K, V] {
	return &SharedCalls[K, V]{keys: map[K]*callsOfKey[V]{}}
}

// Do returns the result of call, or of another caller's with the same key that begins
// after this one asks; so all calls with one key must read the same, and nobody may change
// what they return. The call of several callers has a context without a deadline. Do
// returns ctx's error when ctx ends first, while the call goes on for the others. It waits
// for a call under way 20 ms at most: that one may hang.
func (s *SharedCalls[K, V]) Do(ctx context.Context, key K, call func(context.Context) (V, error)) (V, error) {
	next := s.join(key, call)
	if next == nil {
		defer s.ended(key)
		return call(ctx)
	}
	select {
	case <-next.done:
		return next.value, next.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// join returns the call to wait for; nil when none with the key is under way, and the
// caller's has become that.
func (s *SharedCalls[K, V]) join(key K, call func(context.Context) (V, error)) *sharedCall[V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.keys[key]
	if of == nil {
		s.keys[key] = &callsOfKey[V]{running: 1}
		return nil
	}
	if of.next == nil {
		next := &sharedCall[V]{call: call, done: make(chan struct{})}
		next.slow = time.AfterFunc(sharedSlow, func() { s.begin(key, next) })
		of.next = next
	}
	return of.next
}

// begin runs a call before the one under way has ended, unless it has begun already.
func (s *SharedCalls[K, V]) begin(key K, next *sharedCall[V]) {
	s.mu.Lock()
	of := s.keys[key]
	waits := of != nil && of.next == next
	if waits {
		of.next = nil
		of.running++
	}
	s.mu.Unlock()
	if waits {
		s.run(key, next)
	}
}

// ended begins the call that waited for the end of one.
func (s *SharedCalls[K, V]) ended(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.keys[key]
	next := of.next
	switch {
	case next != nil:
		of.next = nil
		next.slow.Stop()
		go s.run(key, next)
	case of.running == 1:
		delete(s.keys, key)
	default:
		of.running--
	}
}

func (s *SharedCalls[K, V]) run(key K, c *sharedCall[V]) {
	defer s.ended(key)
	defer close(c.done)
	defer func() {
		if v := recover(); v != nil { // the callers' own recovery is on other goroutines
			c.err = fmt.Errorf("a shared call panicked: %v", v)
		}
	}()
	c.value, c.err = c.call(context.Background())
}

package pg

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// sharedMost bounds the keys of one statement.
	sharedMost = 128
	// sharedSlow is after how long a statement under way isn't waited for: it may
	// hang, or its server may.
	sharedSlow = 20 * time.Millisecond
	// sharedAtOnce bounds the statements under way.
	sharedAtOnce = 4
)

// Shared reads rows by key. Callers that arrive while a statement is under way share
// the next one, so that a busy service needs fewer statements than it has callers. The
// statement of a caller always begins after its call, so it never returns what is
// older, and a caller alone waits for nothing. It is safe for concurrent use.
type Shared[K comparable, V any] struct {
	now  func() time.Time
	read func(ctx context.Context, keys []K) (map[K]V, error)

	mu      sync.Mutex
	running int
	began   time.Time // of the latest statement
	waiting *sharedRead[K, V]
}

// sharedRead is one statement of several callers.
type sharedRead[K comparable, V any] struct {
	keys []K
	done chan struct{} // closed when rows and err are set
	rows map[K]V
	err  error
}

// NewShared makes a Shared. read returns the rows of the keys that exist, by one
// statement. Its context belongs to no caller and has no deadline besides those of Open.
func NewShared[K comparable, V any](now func() time.Time, read func(ctx context.Context, keys []K) (map[K]V, error)) *Shared[K, V] {
	return &Shared[K, V]{now: now, read: read}
}

// Get returns the row of a key; false when there is none. It returns the context's
// error when ctx ends first, while the statement goes on for the others.
func (s *Shared[K, V]) Get(ctx context.Context, key K) (row V, found bool, err error) {
	r := s.join(key)
	select {
	case <-r.done:
	case <-ctx.Done():
		return row, false, ctx.Err()
	}
	row, found = r.rows[key]
	return row, found, r.err
}

// join adds a key to the next statement, and begins that unless it is to wait for one
// under way.
func (s *Shared[K, V]) join(key K) *sharedRead[K, V] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = &sharedRead[K, V]{done: make(chan struct{})}
	}
	r := s.waiting
	if !slices.Contains(r.keys, key) {
		r.keys = append(r.keys, key)
	}
	if s.running == 0 || len(r.keys) >= sharedMost || s.running < sharedAtOnce && s.now().Sub(s.began) > sharedSlow {
		s.begin()
		go s.run(r)
	}
	return r
}

// begin takes the waiting statement. The caller holds the lock.
func (s *Shared[K, V]) begin() {
	s.waiting = nil
	s.running++
	s.began = s.now()
}

// run runs a statement, and then those that came to wait meanwhile.
func (s *Shared[K, V]) run(r *sharedRead[K, V]) {
	for r != nil {
		s.runOne(r)
		s.mu.Lock()
		s.running--
		if r = s.waiting; r != nil {
			s.begin()
		}
		s.mu.Unlock()
	}
}

func (s *Shared[K, V]) runOne(r *sharedRead[K, V]) {
	defer func() {
		if v := recover(); v != nil { // the callers' own recovery is on other goroutines
			r.err = fmt.Errorf("a shared read panicked: %v", v)
		}
		close(r.done)
	}()
	r.rows, r.err = s.read(context.Background(), r.keys)
}

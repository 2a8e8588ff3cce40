package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// sharedMost bounds the keys of one statement.
	sharedMost = 128
	// sharedSlow is after how long statements under way aren't waited for: they may
	// hang, or their server may.
	sharedSlow = 20 * time.Millisecond
	// sharedAtOnce bounds the rounds under way.
	sharedAtOnce = 4
	// sharedEarly is how many rows are asked for before a second round begins while one is
	// under way.
	sharedEarly = 14
)

// Shared reads rows by key, of several kinds (SharedRows) in one round trip. Calls that
// arrive while a round is under way share the next one, so that a busy service needs
// fewer statements than it has callers. It begins when the one under way has ended, or
// has as many callers: then a processor that would wait for PostgreSQL has work, and both
// rounds serve many. The statement of a call always begins after it, so it never returns
// what is older, and a caller alone waits for nothing. It is safe for concurrent use.
type Shared struct {
	pool *pgxpool.Pool
	now  func() time.Time

	mu      sync.Mutex
	running []*round // the oldest first
	waiting []statement
}

// round is what one round trip reads.
type round struct {
	statements []statement
	asked      int // rows, as often as they were asked for
	began      time.Time
}

// statement is one statement of several callers.
type statement interface {
	// size is how many rows were asked for, as often as they were.
	size() int
	// taken is called when it begins, so that later calls begin another.
	taken()
	// read runs it on db; like a call of Tx.Together it may be called twice.
	read(ctx context.Context, db DBTX) error
	// finish gives its callers what was read, or an error.
	finish(err error)
}

// NewShared makes a Shared. Its statements have no deadline besides those of Open.
func NewShared(pool *pgxpool.Pool, now func() time.Time) *Shared {
	return &Shared{pool: pool, now: now}
}

// SharedRows are the rows of one kind that a Shared reads.
type SharedRows[K comparable, V any] struct {
	shared  *Shared
	query   func(ctx context.Context, db DBTX, keys []K) (map[K]V, error)
	waiting *sharedRead[K, V] // guarded by shared.mu; nil when it is in no round to come
}

// NewSharedRows adds a kind of rows. query returns the rows of the keys that exist, by
// one statement on db; like a call of Tx.Together it may be called twice.
func NewSharedRows[K comparable, V any](shared *Shared, query func(ctx context.Context, db DBTX, keys []K) (map[K]V, error)) *SharedRows[K, V] {
	return &SharedRows[K, V]{shared: shared, query: query}
}

// Get returns the row of a key; false when there is none. It returns the context's
// error when ctx ends first, while the statement goes on for the others.
func (s *SharedRows[K, V]) Get(ctx context.Context, key K) (row V, found bool, err error) {
	return s.Ask(key).Get(ctx)
}

// Ask asks for a row without waiting for it: it is read in the same round trip as what
// this or another caller gets next. The statement begins after the call.
func (s *SharedRows[K, V]) Ask(key K) Asked[K, V] {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	r := s.waiting
	if r == nil {
		r = &sharedRead[K, V]{rows: s, keys: make([]K, 0, sharedEarly), done: make(chan struct{})}
		s.waiting = r
		s.shared.waiting = append(s.shared.waiting, r)
	}
	r.asked++
	if !slices.Contains(r.keys, key) {
		r.keys = append(r.keys, key)
	}
	if len(r.keys) >= sharedMost {
		s.waiting = nil // the next call begins another statement
	}
	return Asked[K, V]{key, r}
}

// Asked is a row that was asked for.
type Asked[K comparable, V any] struct {
	key  K
	read *sharedRead[K, V]
}

// Get waits for the row, as SharedRows.Get does.
func (a Asked[K, V]) Get(ctx context.Context) (row V, found bool, err error) {
	a.read.rows.shared.begin()
	select {
	case <-a.read.done:
	case <-ctx.Done():
		return row, false, ctx.Err()
	}
	row, found = a.read.found[a.key]
	return row, found, a.read.err
}

// sharedRead is one statement of several callers.
type sharedRead[K comparable, V any] struct {
	rows  *SharedRows[K, V]
	keys  []K
	asked int           // how often one of the keys was asked for
	done  chan struct{} // closed when found and err are set
	found map[K]V
	err   error
}

func (r *sharedRead[K, V]) size() int { return r.asked }

func (r *sharedRead[K, V]) taken() {
	if r.rows.waiting == r {
		r.rows.waiting = nil
	}
}

func (r *sharedRead[K, V]) read(ctx context.Context, db DBTX) (err error) {
	defer func() {
		if v := recover(); v != nil { // the callers' own recovery is on other goroutines
			err = fmt.Errorf("a shared read panicked: %v", v)
		}
	}()
	r.found, err = r.rows.query(ctx, db, r.keys)
	return err
}

func (r *sharedRead[K, V]) finish(err error) {
	r.err = err
	close(r.done)
}

// begin begins a round with what waits, unless that is to wait for a round under way.
func (s *Shared) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := s.next(); r != nil; r = s.next() {
		go s.run(r)
	}
}

// next returns the round that begins now; nil when there is none. While a round is slow,
// others are one statement each, so that what holds up one kind of rows doesn't hold up
// the others. The caller holds the lock.
func (s *Shared) next() *round {
	statements, now := s.waiting, s.now()
	if len(statements) == 0 {
		return nil
	}
	if under := len(s.running); under > 0 {
		switch oldest := s.running[0]; {
		case under < sharedAtOnce && now.Sub(oldest.began) > sharedSlow:
			statements = statements[:1:1]
		case under > 1 || asked(statements) < max(sharedEarly, oldest.asked):
			return nil
		}
	}
	if s.waiting = s.waiting[len(statements):]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	for _, statement := range statements {
		statement.taken()
	}
	r := &round{statements, asked(statements), now}
	s.running = append(s.running, r)
	return r
}

// asked is how many rows were asked for, as often as they were.
func asked(statements []statement) (rows int) {
	for _, statement := range statements {
		rows += statement.size()
	}
	return rows
}

// run runs a round, and then those that may begin.
func (s *Shared) run(r *round) {
	for r != nil {
		s.runOne(context.Background(), r.statements)
		s.mu.Lock()
		s.running = slices.DeleteFunc(s.running, func(other *round) bool { return other == r })
		r = s.next()
		s.mu.Unlock()
	}
}

func (s *Shared) runOne(ctx context.Context, statements []statement) {
	if len(statements) > 1 {
		err := s.together(ctx, statements)
		if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
			for _, statement := range statements {
				statement.finish(err)
			}
			return
		}
	}
	for _, statement := range statements { // the server refused one of them, or there is one
		statement.finish(statement.read(ctx, s.pool))
	}
}

// together runs several statements in one round trip.
func (s *Shared) together(ctx context.Context, statements []statement) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	calls := make([]func(DBTX) error, len(statements))
	for i, statement := range statements {
		calls[i] = func(db DBTX) error { return statement.read(ctx, db) }
	}
	return (&Tx{conn: conn, batch: &pgx.Batch{}}).Together(ctx, calls...)
}

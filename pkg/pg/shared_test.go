package pg_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

// sharedTable is a table with one row and a Shared that reads it. Each statement
// waits for release after it has read.
type sharedTable struct {
	*pg.SharedRows[int, string]
	statements atomic.Int32
	release    chan struct{}
	read       chan struct{} // after each statement
}

func newSharedTable(t *testing.T) (*sharedTable, func(sql string)) {
	t.Helper()
	pool := pgtest.New(t, none, "m")
	mustExec(t, pool, "create table people (id int primary key, status text)")
	mustExec(t, pool, "insert into people select n, 'approved' from generate_series(1, 100) n")
	s := &sharedTable{release: make(chan struct{}), read: make(chan struct{}, 100)}
	s.SharedRows = pg.NewSharedRows(pg.NewShared(pool, time.Now), func(ctx context.Context, db pg.DBTX, ids []int) (map[int]string, error) {
		s.statements.Add(1)
		rows, err := db.Query(ctx, "select id, status from people where id = any ($1)", ids)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		found := map[int]string{}
		for rows.Next() {
			var id int
			var status string
			if err := rows.Scan(&id, &status); err != nil {
				return nil, err
			}
			found[id] = status
		}
		s.read <- struct{}{}
		<-s.release
		return found, rows.Err()
	})
	return s, func(sql string) { mustExec(t, pool, sql) }
}

type sharedAnswer struct {
	status string
	found  bool
	err    error
}

func (s *sharedTable) ask(ctx context.Context, id int) <-chan sharedAnswer {
	answer := make(chan sharedAnswer, 1)
	go func() {
		status, found, err := s.Get(ctx, id)
		answer <- sharedAnswer{status, found, err}
	}()
	return answer
}

// The first caller is the control: its statement began before the decision, so a
// caller that joined it would get what was decided before.
func TestSharedReadIsNeverOlderThanItsCall(t *testing.T) {
	t.Parallel()
	s, exec := newSharedTable(t)
	before := s.ask(t.Context(), 7)
	<-s.read
	exec("update people set status = 'suspended' where id = 7")
	after := s.ask(t.Context(), 7)
	close(s.release)
	if a := <-before; a.status != "approved" || a.err != nil {
		t.Errorf("a statement from before the decision: %+v", a)
	}
	if a := <-after; a.status != "suspended" || a.err != nil {
		t.Errorf("a call after the decision got %+v", a)
	}
}

func TestCallsDuringAStatementShareTheNext(t *testing.T) {
	t.Parallel()
	s, _ := newSharedTable(t)
	first := s.ask(t.Context(), 1)
	<-s.read
	var all sync.WaitGroup
	var joined sync.WaitGroup
	for id := 2; id <= 51; id++ {
		joined.Add(1)
		all.Go(func() {
			joined.Done()
			status, found, err := s.Get(t.Context(), id%60)
			if status != "approved" || !found || err != nil {
				t.Errorf("%d: %q, %v, %v", id, status, found, err)
			}
		})
	}
	joined.Wait()
	close(s.release)
	all.Wait()
	<-first
	// Goroutines that hadn't called yet at the release, and those of a busy
	// machine that waited longer than a statement may take, need a few more.
	if n := s.statements.Load(); n > 25 {
		t.Errorf("51 calls took %d statements", n)
	}
}

// The control: with a call less none begins, and neither does a third round.
func TestSecondRoundBeginsWhenItIsAsLargeAsTheFirst(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ first, second int }{{1, pg.SharedEarly}, {2 * pg.SharedEarly, 2 * pg.SharedEarly}} {
		synctest.Test(t, func(t *testing.T) {
			gate, begun := make(chan struct{}), 0
			s := pg.NewSharedRows(pg.NewShared(nil, time.Now), func(_ context.Context, _ pg.DBTX, ids []int) (map[int]string, error) {
				begun++
				<-gate
				return nil, nil
			})
			var all sync.WaitGroup
			get := func(calls int) (rounds int) {
				asked := make([]pg.Asked[int, string], calls)
				for i := range asked {
					asked[i] = s.Ask(i)
				}
				for _, a := range asked {
					all.Go(func() {
						if _, _, err := a.Get(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				return begun
			}
			for i, step := range []struct{ calls, rounds int }{{test.first, 1}, {test.second - 1, 1}, {1, 2}, {2 * test.second, 2}} {
				if rounds := get(step.calls); rounds != step.rounds {
					t.Errorf("after step %d of %+v: %d rounds have begun, want %d", i, test, rounds, step.rounds)
				}
			}
			close(gate)
			all.Wait()
		})
	}
}

func TestSharedReadOfAMissingRowFindsNothing(t *testing.T) {
	t.Parallel()
	s, _ := newSharedTable(t)
	close(s.release)
	if a := <-s.ask(t.Context(), 1000); a.found || a.err != nil {
		t.Errorf("got %+v", a)
	}
	if a := <-s.ask(t.Context(), 1); !a.found {
		t.Error("the control finds nothing")
	}
}

func TestCallerOfASharedReadMayLeave(t *testing.T) {
	t.Parallel()
	s, _ := newSharedTable(t)
	ctx, cancel := context.WithCancel(t.Context())
	leaves := s.ask(ctx, 1)
	<-s.read
	stays := s.ask(t.Context(), 2)
	cancel()
	if a := <-leaves; !errors.Is(a.err, context.Canceled) {
		t.Errorf("got %+v", a)
	}
	close(s.release)
	if a := <-stays; a.status != "approved" || a.err != nil {
		t.Errorf("the other got %+v", a)
	}
}

// A statement hangs until the end of the test.
func TestHangingSharedReadDelaysNoLaterCalls(t *testing.T) {
	t.Parallel()
	s, _ := newSharedTable(t)
	hangs := s.ask(t.Context(), 1)
	<-s.read
	later := s.ask(t.Context(), 2)
	for s.statements.Load() < 2 { // a later call begins it, when the first has taken long
		again := s.ask(t.Context(), 3)
		select {
		case <-s.read:
		case <-again:
			t.Fatal("a call was answered while its statement could not end")
		case <-time.After(time.Millisecond):
		}
	}
	close(s.release)
	for _, answer := range []<-chan sharedAnswer{hangs, later} {
		if a := <-answer; a.status != "approved" || a.err != nil {
			t.Errorf("got %+v", a)
		}
	}
}

func TestPanicOfASharedReadIsAnErrorOfItsCallers(t *testing.T) {
	t.Parallel()
	s := pg.NewSharedRows(pg.NewShared(nil, time.Now), func(context.Context, pg.DBTX, []int) (map[int]string, error) { panic("a defect") })
	if _, _, err := s.Get(t.Context(), 1); err == nil {
		t.Error("no error")
	}
}

// twoKinds are two kinds of rows of one Shared: the times of the transactions that read
// them. A read of a ticket calls entered once it has its rows.
type twoKinds struct {
	people, tickets *pg.SharedRows[int, time.Time]
	entered         func()
	exec            func(sql string)
}

func newTwoKinds(t *testing.T) *twoKinds {
	t.Helper()
	pool := pgtest.New(t, none, "m")
	k := &twoKinds{entered: func() {}, exec: func(sql string) { mustExec(t, pool, sql) }}
	for _, table := range []string{"people", "tickets"} {
		k.exec("create table " + table + " as select 1 as id")
	}
	read := func(ctx context.Context, db pg.DBTX, table string, ids []int) (map[int]time.Time, error) {
		rows, err := db.Query(ctx, "select id, now() from "+table+" where id = any ($1)", ids)
		if err != nil {
			return nil, err
		}
		found := map[int]time.Time{}
		var id int
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error { found[id] = at; return nil })
		return found, err
	}
	shared := pg.NewShared(pool, time.Now)
	k.people = pg.NewSharedRows(shared, func(ctx context.Context, db pg.DBTX, ids []int) (map[int]time.Time, error) {
		return read(ctx, db, "people", ids)
	})
	k.tickets = pg.NewSharedRows(shared, func(ctx context.Context, db pg.DBTX, ids []int) (map[int]time.Time, error) {
		found, err := read(ctx, db, "tickets", ids)
		if err == nil {
			k.entered()
		}
		return found, err
	})
	return k
}

// The control: rows that are not asked for together are read by two transactions.
func TestRowsOfTwoKindsAreReadInOneRoundTrip(t *testing.T) {
	t.Parallel()
	k := newTwoKinds(t)
	read := func(a pg.Asked[int, time.Time]) time.Time {
		at, found, err := a.Get(t.Context())
		if err != nil || !found {
			t.Fatalf("found %v, %v", found, err)
		}
		return at
	}
	person, ticket := k.people.Ask(1), k.tickets.Ask(1)
	if a, b := read(ticket), read(person); !a.Equal(b) {
		t.Errorf("read at %s and %s", a, b)
	}
	if a, b := read(k.people.Ask(1)), read(k.tickets.Ask(1)); a.Equal(b) {
		t.Error("rows that are asked for one after the other came in one round trip")
	}
}

func TestRefusedStatementFailsNoOtherOfItsRound(t *testing.T) {
	t.Parallel()
	k := newTwoKinds(t)
	k.exec("drop table tickets")
	ticket, person := k.tickets.Ask(1), k.people.Ask(1)
	if _, found, err := person.Get(t.Context()); !found || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if _, _, err := ticket.Get(t.Context()); err == nil {
		t.Error("a row of a missing table was read")
	}
}

// Each read of a ticket hangs until the end of the test.
func TestKindThatHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	k := newTwoKinds(t)
	hangs, free := make(chan struct{}, 10), make(chan struct{})
	k.entered = func() {
		hangs <- struct{}{}
		<-free
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer close(free)
	all.Go(func() { _, _, _ = k.tickets.Get(t.Context(), 1) })
	<-hangs
	k.tickets.Ask(1)
	answered := make(chan struct{}, 1)
	for { // a later call begins the round, when the first has taken long
		all.Go(func() {
			if _, found, err := k.people.Get(t.Context(), 1); found && err == nil {
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
		select {
		case <-answered:
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

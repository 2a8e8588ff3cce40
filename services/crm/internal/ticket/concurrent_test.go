package ticket

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

// deadlocks counts the deadlocks of the test's database. A connection reports its
// count when it ends.
func (d *testEnv) deadlocks() int {
	d.Helper()
	d.Pool.Reset()
	for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if crmtest.Get[int](d.Env, `select count(*) from pg_stat_activity where datname = current_database()`) == 1 {
			break
		}
		if time.Now().After(deadline) {
			d.Fatal("connections don't end")
		}
	}
	return crmtest.Get[int](d.Env, `select deadlocks from pg_stat_database where datname = current_database()`)
}

// load is many users whose requests run at the same time.
type load struct {
	*testEnv
	admin     Viewer
	customers []Viewer
	engineers []Viewer // the first stays, the others leave and join
	mu        sync.Mutex
	tickets   []uuid.UUID
	outcomes  map[string]int
	failures  []error
	slowest   time.Duration
}

func (s *load) someTicket(r *rand.Rand) (uuid.UUID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tickets) == 0 {
		return uuid.Nil, false
	}
	return s.tickets[r.IntN(len(s.tickets))], true
}

// raise, act and staff are the three sorts of step; each returns its name.
func (s *load) raise(r *rand.Rand) (string, error) {
	v := s.customers[r.IntN(len(s.customers))]
	t, err := s.service.Create(context.Background(), v, New{Title: "Printer", Description: "It smokes", Priority: Normal}, nil)
	if err == nil {
		s.mu.Lock()
		s.tickets = append(s.tickets, t.ID)
		s.mu.Unlock()
	}
	return "create", err
}

func (s *load) act(r *rand.Rand) (string, error) {
	ctx := context.Background()
	id, ok := s.someTicket(r)
	if !ok {
		return "create", nil
	}
	t, err := s.service.Get(ctx, s.admin, id)
	if err != nil {
		return "get", err
	}
	assignee := s.engineers[r.IntN(len(s.engineers))]
	if t.Assignee != nil {
		assignee = Viewer{ID: t.Assignee.ID, Name: t.Assignee.Name, Role: "engineer"}
	}
	reporter := Viewer{ID: t.Reporter.ID, Name: t.Reporter.Name, Role: "customer"}
	step := func(v Viewer, to Status) error {
		e := Edit{Status: &to}
		if fix := "A new drum"; to == Resolved {
			e.Resolution = &fix
		}
		_, err := s.service.Update(ctx, v, id, e, func(int) bool { return true })
		return err
	}
	switch n := r.IntN(100); {
	case n < 25:
		_, err := s.service.Accept(ctx, assignee, id)
		return "accept", err
	case n < 45:
		_, err := s.service.Decline(ctx, assignee, id, "No")
		return "decline", err
	case n < 60:
		return "resolve", step(assignee, Resolved)
	case n < 75:
		return "close", step(reporter, Closed)
	case n < 88:
		return "reopen", step(reporter, Open)
	case n < 95:
		_, err := s.service.AddComment(ctx, reporter, id, NewComment{Body: "Hello"}, nil)
		return "comment", err
	default:
		to := s.engineers[r.IntN(len(s.engineers))].ID
		_, err := s.service.Assign(ctx, s.admin, id, &to)
		return "assign", err
	}
}

func (s *load) staff(r *rand.Rand) (string, error) {
	ctx := context.Background()
	e := s.engineers[1+r.IntN(len(s.engineers)-1)]
	switch r.IntN(5) {
	case 0:
		return "suspend", s.Try(func(q *crmdb.Queries) error { return assignment.Leave(ctx, q, e.ID, s.admin.ID) })
	case 1, 2:
		return "approve", s.Try(func(q *crmdb.Queries) error { return assignment.Join(ctx, q, e.ID) })
	case 3:
		return "away", s.Try(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(ctx, q, e.ID, false, r.IntN(2) == 0)
		})
	default:
		return "back", s.Try(func(q *crmdb.Queries) error { return assignment.SetAvailable(ctx, q, e.ID, true, false) })
	}
}

// one takes one step and records its outcome. A refusal is an outcome; any other
// error is a failure.
func (s *load) one(r *rand.Rand) {
	var what string
	var err error
	start := time.Now()
	switch n := r.IntN(100); {
	case n < 40:
		what, err = s.raise(r)
	case n < 94:
		what, err = s.act(r)
	default:
		what, err = s.staff(r)
	}
	took := time.Since(start)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowest = max(s.slowest, took)
	e := errs.As(err)
	switch {
	case err == nil:
		s.outcomes[what]++
	case err == assignment.ErrNoEngineer || e != nil && (e.Kind == errs.Conflict || e.Kind == errs.Forbidden || e.Kind == errs.Invalid):
		s.outcomes[what+" refused"]++
	default:
		s.failures = append(s.failures, fmt.Errorf("%s: %w", what, err))
	}
}

func (d *testEnv) newLoad(customers, engineers int) *load {
	s := &load{testEnv: d, admin: Viewer(d.User("admin")), outcomes: map[string]int{}}
	for range customers {
		s.customers = append(s.customers, Viewer(d.User("customer")))
	}
	for range engineers {
		s.engineers = append(s.engineers, Viewer(d.Engineer()))
	}
	return s
}

// run takes n steps in that many workers.
func (s *load) run(n, workers int, seed uint64) {
	var all sync.WaitGroup
	for h := range workers {
		all.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(h)))
			for range n / workers {
				s.one(r)
			}
		})
	}
	all.Wait()
}

const unassigned = `select count(*) from tickets t where t.assignee_id is null and t.status in ('open', 'in_progress', 'blocked')
	and exists (select from engineers e where e.available
		and not exists (select from ticket_declines d where d.ticket_id = t.id and d.engineer_id = e.user_id))`

func TestLoadsEqualARecountAfterThousandsOfConcurrentSteps(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	s := d.newLoad(5, 6)
	n, seed, start := trials.Count(1000, 2000), rand.Uint64(), time.Now()
	s.run(n, 40, seed)
	took := time.Since(start)
	t.Logf("seed %d: %d steps in %s, the slowest %s, %d deadlocks, %v", seed, n, took.Round(time.Millisecond), s.slowest.Round(time.Millisecond), d.deadlocks(), s.outcomes)
	for _, err := range s.failures[:min(len(s.failures), 10)] {
		t.Errorf("seed %d: %v", seed, err)
	}
	d.RunBacklog()
	for what, sql := range map[string]string{
		"loads that differ from the recount":                  crmtest.WrongLoads,
		"tickets without an engineer who could":               unassigned,
		"active tickets of who is no engineer":                `select count(*) from tickets where status in ('open', 'in_progress', 'blocked') and assignee_id not in (select user_id from engineers)`,
		"tickets without an event of their creation":          `select count(*) from tickets t where 1 <> (select count(*) from ticket_events e where e.ticket_id = t.id and e.kind = 'created')`,
		"tickets without their receipt":                       `select count(*) from tickets t where 1 <> (select count(*) from outbox o where o.reference = t.id and o.kind = 'ticket_received')`,
		"tickets that wait and have crmtest.User":             `select count(*) from tickets where waiting_since is not null and (assignee_id is not null or status not in ('open', 'in_progress', 'blocked'))`,
		"tickets whose last assignment isn't in their events": lastAssignment,
	} {
		if n := crmtest.Get[int](d.Env, sql); n != 0 {
			t.Errorf("seed %d: %d %s", seed, n, what)
		}
	}
	for _, what := range []string{"create", "accept", "decline", "resolve", "close", "reopen", "assign", "suspend", "approve", "away", "back"} {
		if s.outcomes[what] == 0 {
			t.Errorf("seed %d: no %s succeeded", seed, what)
		}
	}
}

// lastAssignment counts tickets whose latest event about the assignee has another
// user than the ticket.
const lastAssignment = `select count(*) from tickets t
	join lateral (select e.changes->'assignee'->'to'->>'id' as engineer from ticket_events e
		where e.ticket_id = t.id and e.changes ? 'assignee' order by e.id desc limit 1) last on true
	where last.engineer::uuid is distinct from t.assignee_id`

// spread is the difference between the most and the least loaded engineer.
const spread = `select max(active_tickets) - min(active_tickets) from engineers`

// mostSpread is what engineer_next guarantees at every moment: who has at most one
// ticket more than the least loaded engineer may be chosen.
const mostSpread = 2

// Concurrent creations keep within mostSpread: one may hold the lock of an engineer whom
// it doesn't choose, so that others get more. What follows one by one levels that.
func TestConcurrentCreatesSpreadEvenly(t *testing.T) {
	t.Parallel()
	for _, engineers := range []int{1, 3, 7, 30} {
		t.Run(strconv.Itoa(engineers), func(t *testing.T) {
			d := newTestEnvWithLongTimeouts(t)
			s := d.newLoad(5, engineers)
			n, start := trials.Count(40, 400), time.Now()
			concurrently(40, func(h int) bool {
				r := rand.New(rand.NewPCG(1, uint64(h)))
				for range n / 40 {
					began := time.Now()
					_, err := s.raise(r)
					s.mu.Lock()
					if s.slowest = max(s.slowest, time.Since(began)); err != nil {
						s.failures = append(s.failures, err)
					}
					s.mu.Unlock()
				}
				return true
			})
			t.Logf("%d creates in %s, the slowest %s", n, time.Since(start).Round(time.Millisecond), s.slowest.Round(time.Millisecond))
			for _, err := range s.failures {
				t.Error(err)
			}
			evenWithin := func(most int) {
				loads := crmtest.List[int](d.Env, `select active_tickets from engineers`)
				if got := slices.Max(loads) - slices.Min(loads); got > most {
					t.Errorf("spread %d, at most %d expected: %v", got, most, loads)
				}
			}
			evenWithin(mostSpread)
			for r := rand.New(rand.NewPCG(2, 0)); crmtest.Get[int](d.Env, `select count(*) from tickets`) < n+engineers; {
				if _, err := s.raise(r); err != nil {
					t.Fatal(err)
				}
			}
			evenWithin(1)
			if crmtest.Get[int](d.Env, crmtest.WrongLoads) != 0 || crmtest.Get[int](d.Env, `select count(*) from tickets where assignee_id is null`) != 0 {
				t.Error("wrong loads, or tickets without an engineer")
			}
		})
	}
}

// The control: concurrent choices without a lock choose the same engineer.
func TestControlChoiceWithoutALockSpreadsUnevenly(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	s := d.newLoad(1, 7)
	for range 10 {
		chosen := concurrently(10, func(int) uuid.UUID {
			return crmtest.Get[uuid.UUID](d.Env, `select user_id from engineers order by active_tickets, last_assigned_at, user_id limit 1`)
		})
		concurrently(10, func(i int) bool {
			d.Exec(`insert into tickets (id, title, description, reporter_id, assignee_id, created_at, updated_at)
				values (gen_random_uuid(), 'Printer', 'It smokes', $1, $2, now(), now())`, s.customers[0].ID, chosen[i])
			return true
		})
	}
	if got := crmtest.Get[int](d.Env, spread); got <= mostSpread {
		t.Errorf("spread %d without a lock: the test above can't fail", got)
	}
}

// A creation that finds every engineer locked waits for one, and counts once towards the
// limit of its reporter.
func TestCreateWaitsWhileAllEngineersAreLocked(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	d.service.perHour = 60
	d.Engineer()
	customer := d.User("customer")
	d.Raise(customer, "Scanner", "It hums")
	ctx := context.Background()
	tx, err := d.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // committed below
	if _, err := tx.Exec(ctx, `select from engineers for no key update`); err != nil {
		t.Fatal(err)
	}
	var failed bool
	if err := d.Pool.QueryRow(ctx, `select engineer_next('{}', false) is not null`).Scan(&failed); !assignment.AllLocked(err) {
		t.Errorf("a choice that may not wait: %v, want that all are locked", err)
	}
	created := make(chan crmtest.Ticket)
	go func() { created <- d.Raise(customer, "Printer", "It smokes") }()
	d.Eventually("the creation waits for an engineer", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == 1
	})
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if ticket := <-created; ticket.Assignee == nil {
		t.Error("the ticket has no engineer")
	}
	if hits := crmtest.Get[int](d.Env, `select coalesce(max(cardinality(hits)), 0) from rate_limits where key like 'tickets%'`); hits != 2 {
		t.Errorf("two creations count %d times", hits)
	}
}

// TestDeclineSucceedsWhileTicketsAreCreated declines tickets while concurrent
// creations keep each engineer locked.
func TestDeclineSucceedsWhileTicketsAreCreated(t *testing.T) {
	t.Parallel()
	d := newTestEnvWithLongTimeouts(t)
	s := d.newLoad(5, 2)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for h := range 16 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(h)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.raise(r); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	outcomes := map[string]int{}
	var slowest time.Duration
	for i := range trials.Count(15, 40) {
		id := uuid.Nil
		for ok := false; !ok; {
			id, ok = s.someTicket(rand.New(rand.NewPCG(3, uint64(i))))
		}
		ticket, err := s.service.Get(context.Background(), s.admin, id)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = s.service.Decline(context.Background(), Viewer{ID: ticket.Assignee.ID, Name: ticket.Assignee.Name, Role: "engineer"}, id, "No")
		slowest = max(slowest, time.Since(began))
		outcomes[fmt.Sprint(err)]++
	}
	e := s.engineers[1]
	for range trials.Count(2, 5) {
		began := time.Now()
		d.Do(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, e.ID, false, true)
		})
		d.Do(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, e.ID, true, false)
		})
		slowest = max(slowest, time.Since(began))
	}
	close(stop)
	all.Wait()
	t.Logf("%d tickets meanwhile, the slowest decline or hand-over %s, %d deadlocks", len(s.tickets), slowest.Round(time.Millisecond), d.deadlocks())
	if !maps.Equal(outcomes, map[string]int{"<nil>": trials.Count(15, 40)}) {
		t.Errorf("declines: %v", outcomes)
	}
	if n := crmtest.Get[int](d.Env, crmtest.WrongLoads); n != 0 {
		t.Errorf("%d loads differ from the recount", n)
	}
}

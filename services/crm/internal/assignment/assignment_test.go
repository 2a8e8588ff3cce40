package assignment_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/ticket"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func mount(e *crmtest.Env, api *httpapi.API) {
	ticket.Register(api, ticket.NewService(ticket.Config{Pool: e.Pool, Now: e.Now, Changed: func() {}}))
}

func newEnv(t *testing.T) *crmtest.Env {
	t.Helper()
	t.Parallel()
	return crmtest.New(t, mount)
}

func raiseUrgently(d *crmtest.Env, who crmtest.User, priority string) crmtest.Ticket {
	d.Helper()
	return crmtest.Parse[crmtest.Ticket](d.Call(who, "POST", "/v1/tickets",
		crmtest.Object{"title": "Printer", "description": "It smokes", "priority": priority}).Want(201))
}

func setAvailable(d *crmtest.Env, engineer crmtest.User, available, handOver bool) {
	d.Helper()
	d.Do(func(q *crmdb.Queries) error {
		return assignment.SetAvailable(context.Background(), q, engineer.ID, available, handOver)
	})
}

func leave(d *crmtest.Env, engineer, admin crmtest.User, role, status string) {
	d.Helper()
	d.Do(func(q *crmdb.Queries) error { return d.Leave(q, engineer, admin, role, status) })
}

func count(d *crmtest.Env, sql string, args ...any) int {
	d.Helper()
	return crmtest.Get[int](d, sql, args...)
}

func TestWaitingTicketsAreAssignedByPriorityThenAge(t *testing.T) {
	d := newEnv(t)
	customer := d.User("customer")
	var want []uuid.UUID
	for _, priority := range []string{"low", "normal", "urgent", "normal", "high"} {
		want = append(want, raiseUrgently(d, customer, priority).ID)
	}
	want = []uuid.UUID{want[2], want[4], want[1], want[3], want[0]}
	engineer := d.Engineer()

	got := crmtest.List[uuid.UUID](d, `select ticket_id from ticket_events where kind = 'assigned' order by id`)
	if !slices.Equal(got, want) {
		t.Errorf("assigned in the order %v, want %v", got, want)
	}
	if n := count(d, `select active_tickets from engineers where user_id = $1`, engineer.ID); n != 5 {
		t.Errorf("load %d", n)
	}
	if n := count(d, `select count(*) from outbox where kind = 'ticket_assigned'`); n != 5 {
		t.Errorf("%d notices", n)
	}
}

func TestLeastLoadedIsNextAndAmongEqualsTheLongestUnassigned(t *testing.T) {
	d := newEnv(t)
	customer := d.User("customer")
	a, b, c := d.Engineer(), d.Engineer(), d.Engineer()
	d.Exec(`update engineers set last_assigned_at = case user_id when $1 then timestamptz '2026-01-03' when $2 then '2026-01-01' else '2026-01-02' end`, a.ID, b.ID)
	setAvailable(d, c, false, false)

	var got []uuid.UUID
	for range 4 {
		got = append(got, d.Raise(customer, "Printer", "It smokes").Assignee.ID)
	}
	if want := []uuid.UUID{b.ID, a.ID, b.ID, a.ID}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	data := crmtest.Get[[]byte](d, `select changes->'why' from ticket_events where kind = 'assigned' order by id desc limit 1`)
	var why assignment.Why
	if err := json.Unmarshal(data, &why); err != nil {
		t.Fatal(err)
	}
	if why.Rule != assignment.Rule || len(why.Candidates) != 2 || why.Candidates[0].ID != a.ID || why.Candidates[0].ActiveTickets != 1 || why.Candidates[1].ActiveTickets != 2 {
		t.Errorf("why: %s", data)
	}
}

func TestEngineerWhoDeclinedIsNotChosenAgainWhileOthersRemain(t *testing.T) {
	d := newEnv(t)
	customer := d.User("customer")
	a, b := d.Engineer(), d.Engineer()
	ticket, first, second := d.Pair(customer, a, b)
	decline := func(e crmtest.User) crmtest.Ticket {
		return crmtest.Parse[crmtest.Ticket](d.Call(e, "POST", ticket.Path("/decline"), crmtest.Object{"reason": "No"}).Want(200))
	}
	if !decline(first).AssignedTo(second) {
		t.Fatal("not offered to the other engineer")
	}
	if !decline(second).AssignedTo(first) {
		t.Error("no other engineer remains, but the first is not chosen again")
	}
	setAvailable(d, second, false, false)
	if got := decline(first); got.Assignee != nil {
		t.Errorf("assigned to %v, who just declined it or is away", got.Assignee)
	}
	d.RunBacklog()
	if got := d.Read(customer, ticket); got.Assignee != nil {
		t.Errorf("the backlog assigned it to %v, who declined it", got.Assignee)
	}
	if c := d.Engineer(); !d.Read(customer, ticket).AssignedTo(c) {
		t.Error("a new engineer did not get it")
	}
}

func TestReporterIsNeverAssignedTheirOwnTicket(t *testing.T) {
	d := newEnv(t)
	admin, only := d.User("admin"), d.Engineer()
	own := d.Raise(only, "My printer", "It smokes")
	if own.Assignee != nil {
		t.Errorf("on creation it was assigned to %v", own.Assignee)
	}
	d.RunBacklog()
	if got := d.Read(admin, own); got.Assignee != nil {
		t.Errorf("the backlog assigned it to %v", got.Assignee)
	}
	d.Call(admin, "POST", own.Path("/assign"), crmtest.Object{"engineer_id": only.ID}).Refused(422, "validation_failed")
	if other := d.Engineer(); !d.Read(admin, own).AssignedTo(other) {
		t.Error("control: another engineer did not get it")
	}
	ofCustomer := d.Raise(d.User("customer"), "Printer", "It smokes")
	if !ofCustomer.AssignedTo(only) {
		t.Errorf("control: a customer's ticket was assigned to %v", ofCustomer.Assignee)
	}
}

func TestTicketsOfAFormerEngineerGoToOthersWhoAreNotified(t *testing.T) {
	d := newEnv(t)
	customer, admin, formerEngineer := d.User("customer"), d.User("admin"), d.Engineer()
	for range 5 {
		d.Raise(customer, "Printer", "It smokes")
	}
	d.Exec(`update tickets set status = 'in_progress', accepted_at = created_at where number = 1`)
	stayer := d.Engineer()
	d.Suspend(formerEngineer, admin)

	if n := count(d, `select count(*) from tickets where assignee_id = $1 and status = 'open'`, stayer.ID); n != 5 {
		t.Errorf("the other engineer has %d open tickets", n)
	}
	if n := count(d, `select count(*) from engineers where user_id = $1`, formerEngineer.ID); n != 0 {
		t.Error("a former engineer can still be assigned tickets")
	}
	if n := count(d, `select count(*) from outbox where kind = 'ticket_unassigned'`); n != 0 {
		t.Errorf("%d notices to a user who may not see tickets any more", n)
	}
	if n := count(d, crmtest.WrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
	d.Suspend(stayer, admin)
	if n := count(d, `select count(*) from tickets where assignee_id is null and waiting_since is not null`); n != 5 {
		t.Errorf("%d tickets wait", n)
	}
}

func TestFormerEngineerGetsNoTicketAndHandsTheirsOver(t *testing.T) {
	d := newEnv(t)
	customer, admin, formerEngineer := d.User("customer"), d.User("admin"), d.Engineer()
	active, closed := d.Raise(customer, "Printer", "It smokes"), d.Raise(customer, "Scanner", "It hums")
	d.Patch(customer, closed, crmtest.Object{"status": "closed"}).Want(200)
	leave(d, formerEngineer, admin, "engineer", "suspended")
	d.Exec(`update users set status = 'approved' where id = $1`, formerEngineer.ID) // simulates a request that was authenticated before

	if got := d.Raise(customer, "Phone", "It rings"); got.Assignee != nil {
		t.Errorf("a new ticket went to %v", got.Assignee)
	}
	if got := crmtest.Parse[crmtest.Ticket](d.Patch(customer, closed, crmtest.Object{"status": "open"}).Want(200)); got.Assignee != nil {
		t.Errorf("a reopened ticket stays with %v", got.Assignee)
	}
	d.Call(formerEngineer, "POST", active.Path("/accept"), nil).Refused(403, "forbidden")
	d.Call(admin, "POST", active.Path("/assign"), crmtest.Object{"engineer_id": formerEngineer.ID}).Want(200) // the present assignee: no change
	d.Call(admin, "POST", closed.Path("/assign"), crmtest.Object{"engineer_id": formerEngineer.ID}).Refused(422, "validation_failed")
	if err := d.Try(func(q *crmdb.Queries) error {
		return assignment.SetAvailable(context.Background(), q, formerEngineer.ID, true, false)
	}); err != assignment.ErrNoEngineer {
		t.Errorf("made available again: %v", err)
	}
	d.RunBacklog()
	if got := d.Read(admin, active); got.Assignee != nil {
		t.Errorf("after the hand-over it is %v's", got.Assignee)
	}
}

func TestReturningEngineerKeepsTicketsNotYetHandedOver(t *testing.T) {
	d := newEnv(t)
	customer, admin, engineer := d.User("customer"), d.User("admin"), d.Engineer()
	mine := d.Raise(customer, "Printer", "It smokes")
	leave(d, engineer, admin, "engineer", "suspended")
	d.Do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, engineer.ID) })
	d.Exec(`update users set status = 'approved' where id = $1`, engineer.ID)
	d.RunBacklog()
	if !d.Read(admin, mine).AssignedTo(engineer) {
		t.Error("lost a ticket that was not handed over yet")
	}
	if !d.Raise(customer, "Scanner", "It hums").AssignedTo(engineer) {
		t.Error("gets nothing new")
	}
}

// interrupt runs the backlog and cancels it after n tickets.
func interrupt(d *crmtest.Env, n int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	backlog := assignment.NewBacklog(d.Pool, d.Now, func() {
		if n--; n == 0 {
			cancel()
		}
	})
	for again := true; again; {
		var err error
		if again, err = backlog.RunOnce(ctx); err != nil && !errors.Is(err, context.Canceled) {
			d.Fatal(err)
		}
	}
}

func TestInterruptedHandOverIsResumed(t *testing.T) {
	d := newEnv(t)
	customer, admin, formerEngineer := d.User("customer"), d.User("admin"), d.Engineer()
	for range 12 {
		d.Raise(customer, "Printer", "It smokes")
	}
	stayer := d.Engineer()
	leave(d, formerEngineer, admin, "engineer", "suspended")
	const of = `select count(*) from tickets where assignee_id = $1`
	interrupt(d, 5)
	if left, moved := count(d, of, formerEngineer.ID), count(d, of, stayer.ID); left != 7 || moved != 5 {
		t.Errorf("interrupted after 5 of 12: %d remain, %d moved", left, moved)
	}
	if n := count(d, `select count(*) from engineers where leaving and active_tickets = 7`); n != 1 {
		t.Error("the database doesn't say whose tickets are still to be handed over")
	}
	d.RunBacklog()
	if n := count(d, of, stayer.ID); n != 12 {
		t.Errorf("resumed, %d of 12 moved", n)
	}
	if n := count(d, `select count(*) from ticket_events where changes->'why'->>'cause' = 'engineer_left'`); n != 12 {
		t.Errorf("%d events of the hand-over", n)
	}
	if n := count(d, `select count(*) from engineers where leaving`); n != 0 {
		t.Error("the engineer's row stays")
	}
}

// createDuring creates tickets until handOver ends, which calls begun when it has
// begun, and returns how many were created in between.
func createDuring(d *crmtest.Env, customer crmtest.User, handOver func(begun func())) (n int) {
	var begun, done atomic.Bool
	var all sync.WaitGroup
	all.Go(func() {
		handOver(func() { begun.Store(true) })
		done.Store(true)
	})
	for !done.Load() {
		between := begun.Load()
		d.Raise(customer, "Printer", "It smokes")
		if between && !done.Load() {
			n++
		}
	}
	all.Wait()
	return n
}

// fewestDuring is far below the number of tickets that are created during a hand-over
// of 200 that delays none, and above that during one that delays each to its end.
const fewestDuring = 10

func handOverFixture(t *testing.T) (d *crmtest.Env, customer, formerEngineer crmtest.User) {
	t.Helper()
	d = crmtest.NewWithLongTimeouts(t, mount)
	admin := d.User("admin")
	customer, formerEngineer = d.User("customer"), d.Engineer()
	for range 200 {
		d.Raise(customer, "Printer", "It smokes")
	}
	d.Engineer()
	d.Engineer()
	leave(d, formerEngineer, admin, "engineer", "suspended")
	return d, customer, formerEngineer
}

// A change of a ticket takes at least slowChange in the test below.
const slowChange = 30 * time.Millisecond

func TestHandOverRestsAsLongAsItWorks(t *testing.T) {
	d := newEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.Raise(customer, "Printer", "It smokes")
	d.Exec(`create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.03); return new; end';
		create trigger slow before update on tickets for each row execute function slow()`)
	rested := func() time.Duration { // after the only ticket that is assigned
		var assigned time.Time
		backlog := assignment.NewBacklog(d.Pool, d.Now, func() { assigned = time.Now() })
		if _, err := backlog.RunOnce(t.Context()); err != nil || assigned.IsZero() {
			t.Fatalf("assigned at %s, %v", assigned, err)
		}
		return time.Since(assigned)
	}
	setAvailable(d, engineer, false, true) // nobody else is there, so that the ticket waits then
	if got := rested(); got < slowChange {
		t.Errorf("rested for %s after a ticket that took %s", got, slowChange)
	}
	// The control: nothing rests after a ticket that waited.
	for tries := 1; ; tries++ {
		setAvailable(d, engineer, true, false)
		got := rested()
		if got < slowChange {
			return
		}
		if tries == 100 {
			t.Fatalf("rested for %s", got)
		}
		setAvailable(d, engineer, false, true)
		rested()
	}
}

func TestHandOverDoesNotDelayCreations(t *testing.T) {
	d, customer, formerEngineer := handOverFixture(t)
	n := createDuring(d, customer, func(begun func()) { begun(); d.RunBacklog() })
	t.Logf("%d tickets were created while 200 were handed over", n)
	if n < fewestDuring {
		t.Errorf("only %d tickets were created while 200 were handed over", n)
	}
	if n := count(d, `select count(*) from tickets where assignee_id = $1`, formerEngineer.ID); n != 0 {
		t.Errorf("%d tickets are still the former engineer's", n)
	}
}

// The control: a hand-over in one transaction that locks every engineer delays
// each creation to its end.
func TestControlHandOverInOneTransactionDelaysCreations(t *testing.T) {
	d, customer, formerEngineer := handOverFixture(t)
	n := createDuring(d, customer, func(begun func()) {
		ctx := context.Background()
		_ = pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `select from engineers order by user_id for no key update`); err != nil {
				return err
			}
			begun()
			q := crmdb.New(tx)
			for _, id := range crmtest.List[uuid.UUID](d, `select id from tickets where assignee_id = $1 order by id`, formerEngineer.ID) {
				if _, err := assignment.Offer(ctx, q, assignment.Move{Cause: assignment.Left, Now: d.Now(), Ticket: assignment.Ticket{
					ID: id, Status: "open", ReporterID: customer.ID, Assignee: &notice.Person{ID: formerEngineer.ID},
				}}); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if n >= fewestDuring {
		t.Errorf("%d tickets were created meanwhile: the test above can't fail", n)
	}
}

func TestActiveTicketCantHaveAnAssigneeWhoIsNoEngineer(t *testing.T) {
	d := newEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	raised := d.Raise(customer, "Printer", "It smokes")
	d.Call(admin, "POST", raised.Path("/assign"), crmtest.Object{"engineer_id": customer.ID}).Refused(422, "validation_failed")
	_, err := d.Pool.Exec(context.Background(), `update tickets set waiting_since = null, assignee_id = $1`, customer.ID)
	if !pg.IsForeignKey(err, "tickets_assignee_is_engineer") {
		t.Errorf("the database accepted it: %v", err)
	}
	engineer := d.Engineer()
	if _, err = d.Pool.Exec(context.Background(), `delete from engineers where user_id = $1`, engineer.ID); err == nil {
		t.Error("an engineer with an active ticket was deleted")
	}
	leave(d, engineer, admin, "customer", "approved")
	_, err = d.Pool.Exec(context.Background(), `with t as (update tickets set assignee_id = null returning id) select * from t`)
	if err == nil {
		_, err = d.Pool.Exec(context.Background(), `update tickets set assignee_id = $1`, engineer.ID)
	}
	if !pg.IsForeignKey(err, "tickets_assignee_is_engineer") {
		t.Errorf("the database gave a ticket to an engineer who is leaving: %v", err)
	}
}

func TestOnlyEngineersCanBeAway(t *testing.T) {
	d := newEnv(t)
	customer := d.User("customer")
	for _, handOver := range []bool{false, true} {
		if err := d.Try(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, customer.ID, false, handOver)
		}); err != assignment.ErrNoEngineer {
			t.Errorf("got %v", err)
		}
	}
	leave(d, customer, customer, "customer", "approved")
}

func TestJoiningTwiceHasNoFurtherEffect(t *testing.T) {
	d := newEnv(t)
	engineer := d.Engineer()
	d.Raise(d.User("customer"), "Printer", "It smokes")
	setAvailable(d, engineer, false, false)
	d.Do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, engineer.ID) })
	if n := count(d, `select sum(active_tickets) from engineers where not available`); n != 1 {
		t.Errorf("load %d", n)
	}
}

func TestEngineerWhoBecomesAdminIsNotifiedOfTheirFormerTickets(t *testing.T) {
	d := newEnv(t)
	customer, admin, engineer := d.User("customer"), d.User("admin"), d.Engineer()
	d.Raise(customer, "Printer", "It smokes")
	leave(d, engineer, admin, "admin", "approved")
	d.RunBacklog()
	if n := count(d, `select count(*) from outbox where kind = 'ticket_unassigned' and data->'to'->>'id' = $1`, engineer.ID.String()); n != 1 {
		t.Errorf("%d notices to a user who may still see the ticket", n)
	}
}

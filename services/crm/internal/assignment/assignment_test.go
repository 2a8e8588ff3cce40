package assignment_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/notice"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// desk is a database with people and tickets in it.
type desk struct {
	*testing.T
	pool *pgxpool.Pool
	now  time.Time
	n    int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	return &desk{T: t, pool: pgtest.New(t, db.CRM, "crm/migrations"), now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
}

func (d *desk) exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.pool.Exec(context.Background(), sql, args...); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) user(role string) uuid.UUID {
	d.Helper()
	d.n++
	id := uuid.Must(uuid.NewV7())
	d.exec(`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		values ($1, $2, $3, $3, 'x', $4, 'approved', $5, $5)`, id, fmt.Sprintf("%s %d", role, d.n), fmt.Sprintf("%s%d@example.com", role, d.n), role, d.now)
	return id
}

func (d *desk) engineer() uuid.UUID {
	d.Helper()
	id := d.user("engineer")
	d.do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, d.now, id) })
	return id
}

// ticket raises one that waits for an engineer.
func (d *desk) ticket(reporter uuid.UUID) uuid.UUID {
	d.Helper()
	id := uuid.Must(uuid.NewV7())
	d.now = d.now.Add(time.Second)
	d.exec(`insert into tickets (id, title, description, reporter_id, waiting_since, created_at, updated_at)
		values ($1, 'Printer', 'It smokes', $2, $3, $3, $3)`, id, reporter, d.now)
	return id
}

func (d *desk) try(fn func(q *crmdb.Queries) error) error {
	ctx := context.Background()
	return pg.Retry(ctx, func() error {
		return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return fn(crmdb.New(tx)) })
	})
}

func (d *desk) do(fn func(q *crmdb.Queries) error) {
	d.Helper()
	if err := d.try(fn); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) assignee(ticket uuid.UUID) *uuid.UUID {
	d.Helper()
	return get[*uuid.UUID](d, `select assignee_id from tickets where id = $1`, ticket)
}

func get[T any](d *desk, sql string, args ...any) T {
	d.Helper()
	var v T
	if err := d.pool.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.Fatal(err)
	}
	return v
}

// wrongLoads counts engineers whose load is not what a recount gives.
const wrongLoads = `select count(*) from engineers e where e.active_tickets <>
	(select count(*) from tickets t where t.assignee_id = e.user_id and t.status in ('open', 'in_progress', 'blocked'))`

func (d *desk) move(ticket uuid.UUID, cause assignment.Cause, actor *notice.Person) assignment.Move {
	return assignment.Move{
		Ticket: assignment.Ticket{ID: ticket, Number: 1, Title: "Printer", Status: "open", ReporterName: "Rita", Assignee: d.person(d.assignee(ticket))},
		Cause:  cause, Actor: actor, Now: d.now,
	}
}

func (d *desk) person(id *uuid.UUID) *notice.Person {
	if id == nil {
		return nil
	}
	return &notice.Person{ID: *id, Name: "E", Email: "e@example.com"}
}

func (d *desk) offer(ticket uuid.UUID) *uuid.UUID {
	d.Helper()
	d.do(func(q *crmdb.Queries) error {
		_, err := assignment.Offer(context.Background(), q, d.move(ticket, assignment.Declined, nil))
		return err
	})
	return d.assignee(ticket)
}

func TestWaitingTicketsGoOldestFirstToWhoJoins(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	first, second := d.ticket(customer), d.ticket(customer)
	engineer := d.engineer()

	for _, ticket := range []uuid.UUID{first, second} {
		if got := d.assignee(ticket); got == nil || *got != engineer {
			t.Errorf("ticket %s went to %v", ticket, got)
		}
	}
	order := get[[]uuid.UUID](d, `select array_agg(ticket_id order by id) from ticket_events where kind = 'assigned'`)
	if !slices.Equal(order, []uuid.UUID{first, second}) {
		t.Errorf("assigned in the order %v", order)
	}
	if n := get[int](d, `select active_tickets from engineers`); n != 2 {
		t.Errorf("load %d", n)
	}
	if n := get[int](d, `select count(*) from outbox where kind = 'ticket_assigned'`); n != 2 {
		t.Errorf("%d notices", n)
	}
}

func TestTheLeastLoadedIsNextAndAmongEqualsTheLongestUnassigned(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	a, b, c := d.engineer(), d.engineer(), d.engineer()
	d.exec(`update engineers set last_assigned_at = case user_id when $1 then timestamptz '2026-01-03' when $2 then '2026-01-01' else '2026-01-02' end`, a, b)
	d.exec(`update engineers set available = false where user_id = $1`, c)

	var got []uuid.UUID
	for range 4 {
		got = append(got, *d.offer(d.ticket(customer)))
	}
	if want := []uuid.UUID{b, a, b, a}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	data := get[[]byte](d, `select changes->'why' from ticket_events where kind = 'assigned' order by id desc limit 1`)
	var why assignment.Why
	if err := json.Unmarshal(data, &why); err != nil {
		t.Fatal(err)
	}
	if why.Rule != assignment.Rule || len(why.Candidates) != 2 || why.Candidates[0].ID != a || why.Candidates[0].ActiveTickets != 1 || why.Candidates[1].ActiveTickets != 2 {
		t.Errorf("why: %s", data)
	}
}

func TestNobodyWhoDeclinedIsAskedAgainWhileOthersRemain(t *testing.T) {
	d := newDesk(t)
	a, b := d.engineer(), d.engineer()
	ticket := d.ticket(d.user("customer"))
	first := *d.offer(ticket)
	decline := func(e uuid.UUID) *uuid.UUID {
		d.exec(`insert into ticket_declines values ($1, $2, 'no', $3) on conflict do nothing`, ticket, e, d.now)
		return d.offer(ticket)
	}
	second := *decline(first)
	if second == first || (second != a && second != b) {
		t.Fatalf("offered back to %v", second)
	}
	if third := *decline(second); third != first {
		t.Errorf("nobody else remains, but it went to %v", third)
	}
	d.do(func(q *crmdb.Queries) error {
		return assignment.SetAvailable(context.Background(), q, d.now, second, false, false)
	})
	if got := decline(first); got != nil {
		t.Errorf("given to %v, who just declined it or is away", got)
	}
	if waiting := get[bool](d, `select waiting_since is not null from tickets where id = $1`, ticket); !waiting {
		t.Error("the ticket doesn't wait")
	}
	sweeper := assignment.NewSweeper(d.pool, func() time.Time { return d.now }, time.Second, slog.New(slog.NewTextHandler(io.Discard, nil)), func() {})
	if n, err := sweeper.Sweep(context.Background()); n != 0 || err != nil {
		t.Errorf("the sweep gave %d back to who declined, %v", n, err)
	}
	c := d.engineer()
	if got := d.assignee(ticket); got == nil || *got != c {
		t.Errorf("who came did not get it: %v", got)
	}
}

func TestTheTicketsOfWhoLeavesGoToOthersAndTheyAreTold(t *testing.T) {
	d := newDesk(t)
	customer, admin := d.user("customer"), d.user("admin")
	leaver := d.engineer()
	for range 5 {
		d.offer(d.ticket(customer))
	}
	d.exec(`update tickets set status = 'in_progress', accepted_at = created_at where number = 1`)
	stayer := d.engineer()
	d.exec(`update users set status = 'suspended' where id = $1`, leaver)
	d.do(func(q *crmdb.Queries) error { return assignment.Leave(context.Background(), q, d.now, leaver, admin) })

	if n := get[int](d, `select count(*) from tickets where assignee_id = $1 and status = 'open'`, stayer); n != 5 {
		t.Errorf("the other engineer has %d open tickets", n)
	}
	if n := get[int](d, `select count(*) from engineers where user_id = $1`, leaver); n != 0 {
		t.Error("who left can still be assigned tickets")
	}
	if n := get[int](d, `select count(*) from outbox where kind = 'ticket_unassigned'`); n != 0 {
		t.Errorf("%d notices to somebody who may see tickets no more", n)
	}
	if n := get[int](d, wrongLoads); n != 0 {
		t.Error("a load differs from the recount")
	}
	d.do(func(q *crmdb.Queries) error { return assignment.Leave(context.Background(), q, d.now, stayer, admin) })
	if n := get[int](d, `select count(*) from tickets where assignee_id is null and waiting_since is not null`); n != 5 {
		t.Errorf("%d tickets wait", n)
	}
}

func TestAnActiveTicketCantBelongToWhoIsNoEngineer(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	ticket := d.ticket(customer)
	err := d.try(func(q *crmdb.Queries) error {
		return assignment.Give(context.Background(), q, d.move(ticket, assignment.Requested, nil), d.person(&customer))
	})
	if err != assignment.ErrNoEngineer {
		t.Errorf("Give: %v", err)
	}
	_, err = d.pool.Exec(context.Background(), `update tickets set waiting_since = null, assignee_id = $1`, customer)
	if !pg.IsForeignKey(err, "tickets_assignee_is_engineer") {
		t.Errorf("the database let it pass: %v", err)
	}
}

func TestWhoIsNoEngineerIsNeverAway(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	for _, handsOver := range []bool{false, true} {
		if err := d.try(func(q *crmdb.Queries) error {
			return assignment.SetAvailable(context.Background(), q, d.now, customer, false, handsOver)
		}); err != assignment.ErrNoEngineer {
			t.Errorf("got %v", err)
		}
	}
	d.do(func(q *crmdb.Queries) error {
		return assignment.Leave(context.Background(), q, d.now, customer, customer)
	})
}

func TestToJoinTwiceIsToJoinOnce(t *testing.T) {
	d := newDesk(t)
	engineer := d.engineer()
	d.offer(d.ticket(d.user("customer")))
	d.do(func(q *crmdb.Queries) error { return assignment.Join(context.Background(), q, d.now, engineer) })
	if n := get[int](d, `select sum(active_tickets) from engineers`); n != 1 {
		t.Errorf("load %d", n)
	}
}

func TestAnEngineerJoinsWithoutWaitingForTheOthersAndTheSweepBringsTheRest(t *testing.T) {
	d := newDesk(t)
	customer := d.user("customer")
	busy := d.engineer()
	for range 4 {
		d.ticket(customer)
	}
	tx, err := d.pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background()) //nolint:errcheck // what is left of a failed test
	if _, err := crmdb.New(tx).EngineerLock(context.Background(), busy); err != nil {
		t.Fatal(err)
	}
	joined := d.engineer()
	if n := get[int](d, `select active_tickets from engineers where user_id = $1`, joined); n != 2 {
		t.Errorf("took %d while the other was locked at none", n)
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	sweeper := assignment.NewSweeper(d.pool, func() time.Time { return d.now }, time.Second, slog.New(slog.NewTextHandler(io.Discard, nil)), func() {})
	if n, err := sweeper.Sweep(context.Background()); n != 2 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if n := get[int](d, `select active_tickets from engineers where user_id = $1`, busy); n != 2 {
		t.Errorf("the other has %d", n)
	}
}

func TestAnEngineerWhoBecomesAnAdminIsToldWhatIsNoLongerTheirs(t *testing.T) {
	d := newDesk(t)
	customer, admin, engineer := d.user("customer"), d.user("admin"), d.engineer()
	d.offer(d.ticket(customer))
	d.exec(`update users set role = 'admin' where id = $1`, engineer)
	d.do(func(q *crmdb.Queries) error { return assignment.Leave(context.Background(), q, d.now, engineer, admin) })

	if n := get[int](d, `select count(*) from outbox where kind = 'ticket_unassigned' and data->'to'->>'id' = $1`, engineer.String()); n != 1 {
		t.Errorf("%d notices to who may still see the ticket", n)
	}
}

package ticketlist

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// miscounted has the groups whose counter is not the number of their tickets; one
// statement sees one snapshot.
const miscounted = `select coalesce(c.status, r.status) || ' ' || coalesce(c.priority, r.priority) || ': ' || coalesce(c.n, 0) || ' instead of ' || coalesce(r.n, 0)
	from (select status, priority, coalesce(assignee_id::text, '') as assignee, sum(tickets) as n from ticket_counts group by 1, 2, 3) c
	full join (select status, priority, coalesce(assignee_id::text, '') as assignee, count(*) as n from tickets group by 1, 2, 3) r using (status, priority, assignee)
	where coalesce(c.n, 0) <> coalesce(r.n, 0)`

// busy changes tickets at random from several connections at once.
type busy struct {
	*testEnv
	tickets   []uuid.UUID
	engineers []crmtest.User
	customer  crmtest.User
}

func newBusy(d *testEnv, tickets int) *busy {
	b := &busy{testEnv: d, customer: d.User("customer")}
	for range 3 {
		b.engineers = append(b.engineers, d.Engineer())
	}
	// Changes of the engineers' loads could deadlock.
	b.Exec(`alter table tickets disable trigger tickets_load`)
	for range tickets {
		b.tickets = append(b.tickets, uuid.Must(uuid.NewV7()))
		b.Exec(insertTicket, b.tickets[len(b.tickets)-1], b.customer.ID)
	}
	return b
}

const (
	insertTicket = `insert into tickets (id, title, description, reporter_id, created_at, updated_at) values ($1, 'Printer', 'It smokes', $2, now(), now())
		on conflict do nothing`
	changeTicket = `update tickets set status = $2, priority = $3, assignee_id = $4, accepted_at = now(), resolution = 'Done', resolved_at = now(),
		closed_at = case when $2 = 'closed'::ticket_status then now() end where id = $1`
	deleteTicket = `delete from tickets where id = $1`
)

// step does one change, or two in one transaction that is rolled back now and then,
// and reports whether it was committed.
func (b *busy) step(r *rand.Rand) (bool, error) {
	giveUp := errors.New("rolled back")
	err := pgx.BeginFunc(context.Background(), b.Pool, func(tx pgx.Tx) error {
		first := r.IntN(len(b.tickets))
		for _, id := range b.tickets[first:min(first+1+r.IntN(2), len(b.tickets))] { // in one order, so that none deadlocks
			var err error
			switch r.IntN(10) {
			case 0:
				_, err = tx.Exec(context.Background(), deleteTicket, id)
			case 1, 2:
				_, err = tx.Exec(context.Background(), insertTicket, id, b.customer.ID)
			default:
				var engineer *uuid.UUID
				if r.IntN(4) > 0 {
					engineer = &b.engineers[r.IntN(len(b.engineers))].ID
				}
				_, err = tx.Exec(context.Background(), changeTicket, id, ticket.Statuses[r.IntN(5)],
					[]ticket.Priority{ticket.Low, ticket.Normal, ticket.High, ticket.Urgent}[r.IntN(4)], engineer)
			}
			if err != nil {
				return err
			}
		}
		if r.IntN(10) == 0 {
			return giveUp
		}
		return nil
	})
	if errors.Is(err, giveUp) {
		return false, nil
	}
	return err == nil, err
}

// steps does so many steps on each of several connections while fold runs again and
// again, and returns how many were committed.
func (b *busy) steps(each int, fold func()) int {
	b.Helper()
	var working, folding sync.WaitGroup
	var committed atomic.Int64
	done := make(chan struct{})
	for n := range 4 {
		working.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			for range each {
				ok, err := b.step(r)
				if err != nil {
					b.Error(err)
					return
				}
				if ok {
					committed.Add(1)
				}
			}
		})
	}
	folding.Go(func() {
		for {
			fold()
			select {
			case <-done:
				return
			default:
			}
		}
	})
	working.Wait()
	close(done)
	folding.Wait()
	return int(committed.Load())
}

func TestTotalsEqualARecountAfterManyChangesAtOnce(t *testing.T) {
	t.Parallel()
	b := newBusy(newTestEnv(t), 30)
	each := trials.Count(200, 10_000)
	q := crmdb.New(b.Pool)
	folded, looked := int64(0), 0
	committed := b.steps(each, func() {
		n, err := q.CountsFold(context.Background(), 100)
		if err != nil {
			t.Error(err)
		}
		folded += n
		looked++
		if wrong := crmtest.List[string](b.Env, miscounted); len(wrong) > 0 {
			t.Errorf("while tickets change: %v", wrong)
		}
	})
	t.Logf("%d steps, %d rows summed up, recounted %d times meanwhile", committed, folded, looked)
	if committed < each || folded < int64(each) {
		t.Errorf("%d steps and %d rows summed up are too few", committed, folded)
	}
	if wrong := crmtest.List[string](b.Env, miscounted); len(wrong) > 0 {
		t.Errorf("afterwards: %v", wrong)
	}
	// The control: a change that isn't counted is seen.
	b.Exec(`alter table tickets disable trigger tickets_count_change`)
	b.Exec(changeTicket, crmtest.Get[uuid.UUID](b.Env, `select id from tickets limit 1`), "closed", "low", nil)
	b.Exec(changeTicket, crmtest.Get[uuid.UUID](b.Env, `select id from tickets limit 1`), "open", "high", nil)
	if len(crmtest.List[string](b.Env, miscounted)) == 0 {
		t.Error("a change that isn't counted isn't seen: the test can't fail")
	}
}

func TestManyCountedChangesBecomeFewRows(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	admin := d.User("admin")
	engineer := d.Engineer()
	total := func() (n int) {
		return crmtest.Parse[ticketCountsView](d.Call(admin, "GET", "/v1/tickets/counts?assignee="+engineer.ID.String(), nil).Want(200)).Total
	}
	d.Exec(`insert into ticket_counts select 'open', 'low', $1, case when n % 4 = 0 then -1 else 1 end from generate_series(1, 24000) n`, engineer.ID)
	d.Exec(`insert into ticket_counts select 'closed', 'low', $1, case when n % 2 = 0 then -1 else 1 end from generate_series(1, 1000) n`, engineer.ID)
	d.Exec(`insert into ticket_counts select 'open', 'low', gen_random_uuid(), 1 from generate_series(1, 12000) n`)
	if n := total(); n != 12_000 {
		t.Errorf("%d tickets before", n)
	}
	runs := 1
	for ; ; runs++ {
		again, err := d.service.foldCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !again {
			break
		}
	}
	if n := total(); n != 12_000 || runs > 6 {
		t.Errorf("%d tickets after %d runs", n, runs)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_counts where assignee_id = $1`, engineer.ID); n != 1 {
		t.Errorf("%d rows after summing up", n)
	}
	// Few changes are left as they are, so that an idle database isn't written.
	d.Exec(`insert into ticket_counts select 'open', 'low', $1, 1 from generate_series(1, 100) n`, engineer.ID)
	if again, err := d.service.foldCounts(t.Context()); again || err != nil || total() != 12_100 {
		t.Error(again, err)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_counts where assignee_id = $1`, engineer.ID); n != 101 {
		t.Errorf("%d rows of few changes", n)
	}
}

// TestTicketsThatChangeDuringTheMigrationAreCountedOnce is about tickets of before
// the counters, some of which change between the two migrations, while the binary of
// the release before still serves.
func TestTicketsThatChangeDuringTheMigrationAreCountedOnce(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	pool := pgtest.New(t, before(t, "00090"), "crm/migrations")
	d := newTestEnvOn(t, pool)
	b := newBusy(d, 40)
	migrate := func(until string) {
		t.Helper()
		if err := pg.Migrate(context.Background(), pool, before(t, until), "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
	}
	change := func() {
		t.Helper()
		if n := b.steps(30, func() { runtime.Gosched() }); n == 0 {
			t.Error("no step was committed")
		}
	}
	change()
	migrate("00091")
	if slices.Equal(crmtest.List[string](d.Env, miscounted), nil) {
		t.Error("nothing is missing before the tickets are counted: the test can't fail")
	}
	change()
	var migrating sync.WaitGroup
	migrating.Go(change)
	if err := pg.Migrate(context.Background(), pool, db.CRM, "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	migrating.Wait()
	change()
	if wrong := crmtest.List[string](d.Env, miscounted); len(wrong) > 0 {
		t.Errorf("%v", wrong)
	}
}

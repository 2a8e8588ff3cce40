package ticket

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/assignment"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

// model has the expected tickets and engineers. It finds the next engineer by
// sorting, without a database.
type model struct {
	engineers map[uuid.UUID]*modelEngineer
	tickets   []*modelTicket
	clock     int
}

type modelEngineer struct {
	id        uuid.UUID
	available bool
	assigned  int // when last
}

type modelTicket struct {
	body     crmtest.Ticket
	reporter crmtest.User
	status   string
	assignee uuid.UUID // Nil for none
	declined []uuid.UUID
	waiting  bool
	version  int
}

func (m *model) load(id uuid.UUID) int {
	n := 0
	for _, t := range m.tickets {
		if t.assignee == id && Status(t.status).Active() {
			n++
		}
	}
	return n
}

// assignNext assigns the ticket to the engineer who is next outside of excluded.
func (m *model) assignNext(t *modelTicket, excluded ...uuid.UUID) bool {
	var next []*modelEngineer
	for _, e := range m.engineers {
		if e.available && !slices.Contains(excluded, e.id) {
			next = append(next, e)
		}
	}
	if len(next) == 0 {
		return false
	}
	slices.SortFunc(next, func(a, b *modelEngineer) int {
		return cmp.Or(cmp.Compare(m.load(a.id), m.load(b.id)), cmp.Compare(a.assigned, b.assigned), bytes.Compare(a.id[:], b.id[:]))
	})
	m.setAssignee(t, next[0].id)
	return true
}

func (m *model) setAssignee(t *modelTicket, id uuid.UUID) {
	m.clock++
	t.assignee, t.waiting = id, false
	m.engineers[id].assigned = m.clock
}

// offer assigns the ticket to the next engineer, or lets it wait.
func (m *model) offer(t *modelTicket) {
	was := t.assignee
	t.status, t.assignee, t.version = "open", uuid.Nil, t.version+1
	if !m.assignNext(t, append(slices.Clone(t.declined), was)...) && !m.assignNext(t, was) {
		t.waiting = true
	}
}

// drain assigns waiting tickets, oldest first, to engineers who did not decline them.
func (m *model) drain() {
	for _, t := range m.tickets {
		if t.waiting && m.assignNext(t, t.declined...) {
			t.version++
		}
	}
}

func (m *model) handOver(id uuid.UUID) {
	for _, t := range m.tickets {
		if t.assignee == id && Status(t.status).Active() {
			m.offer(t)
		}
	}
}

// step changes the status if the contract allows it, and returns the status code
// of the answer.
func (m *model) step(t *modelTicket, who crmtest.User, to string) int {
	s := situation{role: who.Role, reporter: who.ID == t.reporter.ID, assignee: who.ID == t.assignee, from: Status(t.status)}
	switch {
	case !s.reporter && !s.works() && s.role != "admin":
		if s.role == "customer" {
			return 404
		}
		return 403
	case to == t.status:
		return 200
	case !s.may(Status(to)):
		return 409
	case to == "in_progress" && (t.assignee == uuid.Nil || m.engineers[t.assignee] == nil):
		return 409
	}
	wasActive, was := Status(t.status).Active(), t.assignee
	t.status, t.version = to, t.version+1
	if to == "closed" || to == "resolved" {
		t.waiting = false
	}
	if wasActive || !Status(to).Active() {
		return 200
	}
	if m.engineers[was] == nil {
		m.offer(t)
	} else {
		m.setAssignee(t, was)
	}
	return 200
}

func (m *model) accept(t *modelTicket, e crmtest.User) int {
	switch {
	case t.status != "open":
		return 409
	case t.assignee != uuid.Nil && t.assignee != e.ID, m.engineers[e.ID] == nil:
		return 403
	}
	if t.assignee == uuid.Nil {
		m.setAssignee(t, e.ID)
	}
	t.status, t.version = "in_progress", t.version+1
	return 200
}

func (m *model) decline(t *modelTicket, e crmtest.User) int {
	switch {
	case t.assignee != e.ID:
		return 403
	case !Status(t.status).Active():
		return 409
	}
	if !slices.Contains(t.declined, e.ID) {
		t.declined = append(t.declined, e.ID)
	}
	m.offer(t)
	return 200
}

func (m *model) assign(t *modelTicket, to uuid.UUID) int {
	switch {
	case !Status(t.status).Active():
		return 409
	case t.assignee == to:
		return 200
	case to == uuid.Nil:
		t.status, t.assignee, t.waiting = "open", uuid.Nil, false
	case m.engineers[to] == nil:
		return 422
	default:
		m.setAssignee(t, to)
	}
	t.version++
	return 200
}

// experiment runs the same steps on the service and the model.
type experiment struct {
	*testEnv
	model
	r                *rand.Rand
	admin            crmtest.User
	customers, staff []crmtest.User
	log              []string
}

func (x *experiment) one() {
	if len(x.tickets) == 0 || x.r.IntN(6) == 0 {
		x.create()
		return
	}
	t := x.tickets[x.r.IntN(len(x.tickets))]
	e := x.staff[x.r.IntN(len(x.staff))]
	if i := slices.IndexFunc(x.staff, func(s crmtest.User) bool { return s.ID == t.assignee }); i >= 0 && x.r.IntN(3) > 0 {
		e = x.staff[i]
	}
	suspended := crmtest.Get[string](x.Env, `select status from users where id = $1`, e.ID) != "approved"
	got, want := 0, 0
	what := fmt.Sprintf("#%d (%s of %.8s) by %s: ", t.body.Number, t.status, t.assignee, e.Name)
	switch n := x.r.IntN(10); {
	case n < 5 && suspended:
		return
	case n < 2:
		what += "accept"
		want, got = x.accept(t, e), x.Call(e, "POST", t.body.Path("/accept"), nil).Code
	case n < 4:
		what += "decline"
		want, got = x.decline(t, e), x.Call(e, "POST", t.body.Path("/decline"), crmtest.Object{"reason": "No"}).Code
	case n < 8:
		who := []crmtest.User{e, t.reporter, x.admin, x.customers[0]}[x.r.IntN(4)]
		if suspended && who.ID == e.ID {
			return
		}
		to := string(Statuses[x.r.IntN(5)])
		edit := crmtest.Object{"status": to}
		if to == "resolved" && who.ID != t.reporter.ID {
			edit["resolution"] = "Fixed"
		}
		what += who.Name + " takes it to " + to
		want, got = x.step(t, who, to), x.Patch(who, t.body, edit).Code
	case n == 8:
		to, id := any(nil), uuid.Nil
		if x.r.IntN(3) > 0 {
			to, id = e.ID, e.ID
		}
		what += fmt.Sprintf("assign %v", to)
		want, got = x.assign(t, id), x.Call(x.admin, "POST", t.body.Path("/assign"), crmtest.Object{"engineer_id": to}).Code
	default:
		what += x.changeEngineer(e)
	}
	x.log = append(x.log, what)
	if got != want {
		x.Fatalf("%s: answered %d, the model says %d", what, got, want)
	}
}

func (x *experiment) create() {
	reporter := x.customers[x.r.IntN(len(x.customers))]
	t := &modelTicket{body: x.Raise(reporter, "Printer", "It smokes"), reporter: reporter, status: "open", version: 1}
	t.waiting = !x.assignNext(t)
	x.tickets = append(x.tickets, t)
	x.log = append(x.log, fmt.Sprintf("create #%d", t.body.Number))
}

// changeEngineer lets an engineer join or leave, or be away or available.
func (x *experiment) changeEngineer(e crmtest.User) string {
	ctx := context.Background()
	known := x.engineers[e.ID]
	switch {
	case known == nil:
		x.Exec(`update users set status = 'approved' where id = $1`, e.ID)
		x.Do(func(q *crmdb.Queries) error { return assignment.Join(ctx, q, e.ID) })
		x.RunBacklog()
		x.engineers[e.ID] = &modelEngineer{id: e.ID, available: true}
		x.drain()
		return "joins"
	case x.r.IntN(3) == 0:
		x.Suspend(e, x.admin)
		x.handOver(e.ID)
		delete(x.engineers, e.ID)
		return "leaves"
	}
	available, handsOver := !known.available, x.r.IntN(2) == 0
	x.Do(func(q *crmdb.Queries) error {
		return assignment.SetAvailable(ctx, q, e.ID, available, handsOver)
	})
	x.RunBacklog()
	if !available && handsOver {
		x.handOver(e.ID)
	}
	if known.available = available; available {
		x.drain()
	}
	return fmt.Sprintf("available=%v, hands over %v", available, handsOver)
}

// compare fails the test when the stored tickets and loads differ from the model.
func (x *experiment) compare() {
	x.Helper()
	for _, t := range x.tickets {
		got, has := x.Read(x.admin, t.body), uuid.Nil
		if got.Assignee != nil {
			has = got.Assignee.ID
		}
		if got.Status != t.status || has != t.assignee || got.Version != t.version {
			x.Errorf("#%d is %s of %s, version %d; the model says %s of %s, version %d", t.body.Number, got.Status, has, got.Version, t.status, t.assignee, t.version)
		}
	}
	for id := range x.engineers {
		if got := crmtest.Get[int](x.Env, `select active_tickets from engineers where user_id = $1`, id); got != x.load(id) {
			x.Errorf("load of %s %d, the model says %d", id, got, x.load(id))
		}
	}
	if n := crmtest.Get[int](x.Env, `select count(*) from engineers`); n != len(x.engineers) {
		x.Errorf("%d engineers, the model has %d", n, len(x.engineers))
	}
	if x.Failed() {
		x.FailNow()
	}
}

func TestRandomStepsMatchTheModel(t *testing.T) {
	t.Parallel()
	for range trials.Count(1, 2) {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := newTestEnv(t)
			x := &experiment{testEnv: d, model: model{engineers: map[uuid.UUID]*modelEngineer{}}, r: rand.New(rand.NewPCG(seed, 0)), admin: d.User("admin")}
			for range 3 {
				x.customers = append(x.customers, d.User("customer"))
			}
			for range 4 {
				e := d.Engineer()
				x.staff = append(x.staff, e)
				x.engineers[e.ID] = &modelEngineer{id: e.ID, available: true}
			}
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, the last steps:", seed)
					for _, line := range x.log[max(0, len(x.log)-8):] {
						t.Log(line)
					}
				}
			}()
			for i := range 200 {
				x.one()
				if i%5 == 0 {
					x.compare()
				}
			}
			x.compare()
		})
	}
}

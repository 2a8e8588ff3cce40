package ticketlist

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// together reads the same list for several viewers while the first read is held up, and
// returns what each gets.
func (d *testEnv) together(h *handlers, viewers ...ticket.Viewer) []shownList {
	d.Helper()
	ctx := context.Background()
	hold, err := d.Pool.Begin(ctx)
	if err == nil {
		_, err = hold.Exec(ctx, "lock table tickets in access exclusive mode")
	}
	if err != nil {
		d.Fatal(err)
	}
	var all sync.WaitGroup
	lists := make([]shownList, len(viewers))
	read := func(i int) {
		var err error
		if lists[i], err = h.shownList(ctx, viewers[i], Filter{}, Sort{ByCreated, true}, 21, nil); err != nil {
			d.Errorf("viewer %d: %v", i, err)
		}
	}
	all.Go(func() { read(0) })
	d.Eventually("the first viewer's read waits", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from pg_locks l join pg_database b on b.oid = l.database
			where b.datname = current_database() and l.relation = 'tickets'::regclass and not l.granted`) > 0
	})
	for i := 1; i < len(viewers); i++ {
		all.Go(func() { read(i) })
	}
	if err := hold.Rollback(ctx); err != nil {
		d.Error(err)
	}
	all.Wait()
	return lists
}

func (l shownList) json() (text []byte) {
	for _, item := range l.items {
		text = item.AppendJSON(text)
	}
	return text
}

// The staff's lists being the same slice is the control: what one of them reads is given
// to another, and would be to a customer whose key were the same.
func TestListIsSharedByThoseAloneWhoSeeTheSame(t *testing.T) {
	d := newTestEnv(t)
	customers := []crmtest.User{d.User("customer"), d.User("customer")}
	first, second, admin := d.Engineer(), d.Engineer(), d.User("admin")
	for _, c := range customers {
		raised := d.Raise(c, "Printer", "It smokes")
		d.Call(admin, "POST", raised.Path("/comments"), crmtest.Object{"body": canary, "internal": true}).Want(201)
	}
	h := &handlers{s: d.service, shared: pg.NewSharedCalls[string, shownList]()}
	viewers := []ticket.Viewer{ticket.Viewer(first), ticket.Viewer(second), ticket.Viewer(admin), ticket.Viewer(customers[0]), ticket.Viewer(customers[1])}
	shared := false
	for end := time.Now().Add(time.Minute); !shared && time.Now().Before(end); { // a busy machine may separate the two
		lists := d.together(h, viewers...)
		if t.Failed() {
			return
		}
		for i, want := range []int{2, 2, 2, 1, 1} {
			staff := i < 3
			if n := len(lists[i].items); n != want {
				t.Fatalf("viewer %d sees %d tickets, want %d", i, n, want)
			}
			if bytes.Contains(lists[i].json(), []byte(canary)) != staff || (lists[i].items[0].Reporter.Email != "") != staff {
				t.Errorf("viewer %d: %s", i, lists[i].json())
			}
		}
		for i := range customers {
			if id := lists[3+i].items[0].Reporter.ID; id != customers[i].ID {
				t.Errorf("customer %d sees a ticket of %s", i, id)
			}
		}
		shared = &lists[1].items[0] == &lists[2].items[0]
	}
	if !shared {
		t.Error("an engineer and an admin never share a list: the test can't fail")
	}
}

func TestKeyOfAListHasAllThatItDependsOn(t *testing.T) {
	key := func(v ticket.Viewer, change func(f *Filter, by *Sort, n *int, after **Mark)) string {
		f, by, n, after := Filter{}, Sort{ByCreated, true}, 21, (*Mark)(nil)
		change(&f, &by, &n, &after)
		key, err := listKey(v, f, by, n, after)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	same := func(*Filter, *Sort, *int, **Mark) {}
	engineer, admin, customer := ticket.Viewer{Name: "E", Role: "engineer"}, ticket.Viewer{Name: "A", Role: "admin"}, ticket.Viewer{Name: "C", Role: "customer"}
	if key(engineer, same) != key(admin, same) {
		t.Error("the staff share nothing")
	}
	now := time.Now()
	other := ticket.Viewer{Name: "C", Role: "customer", Unverified: true}
	seen := map[string]int{key(engineer, same): -1}
	for i, k := range []string{
		key(customer, same), key(other, same),
		key(admin, func(f *Filter, _ *Sort, _ *int, _ **Mark) { f.Statuses = []ticket.Status{ticket.Open} }),
		key(admin, func(f *Filter, _ *Sort, _ *int, _ **Mark) { f.Query = "x" }),
		key(admin, func(f *Filter, _ *Sort, _ *int, _ **Mark) { f.NoAssignee = true }),
		key(admin, func(f *Filter, _ *Sort, _ *int, _ **Mark) { f.CreatedAfter = &now }),
		key(admin, func(f *Filter, _ *Sort, _ *int, _ **Mark) { f.CreatedBefore = &now }),
		key(admin, func(_ *Filter, by *Sort, _ *int, _ **Mark) { by.Descending = false }),
		key(admin, func(_ *Filter, _ *Sort, n *int, _ **Mark) { *n = 20 }),
		key(admin, func(_ *Filter, _ *Sort, _ *int, after **Mark) { *after = &Mark{Value: "x"} }),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%d has the key of %d: %s", i, other, k)
		}
		seen[k] = i
	}
}

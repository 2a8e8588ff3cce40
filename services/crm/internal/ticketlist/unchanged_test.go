package ticketlist

import (
	"context"
	"testing"
	"time"

	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmtest"
)

const openTickets = "/v1/tickets?status=open&limit=2"

// always makes the service take the database for unchanged, whatever others do in the
// cluster.
func (d *testEnv) always(state string) {
	d.service.state = pg.NewSharedRows(pg.NewShared(d.Pool, d.Now), func(context.Context, pg.DBTX, []struct{}) (map[struct{}]string, error) {
		return map[struct{}]string{{}: state}, nil
	})
}

func TestListThatTheClientHasIsConfirmedUntilSomethingChanges(t *testing.T) {
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	raised := d.Raise(customer, "Printer", "It smokes")
	list := func(want int, tag string) string {
		t.Helper()
		a := d.Call(admin, "GET", openTickets, nil, "If-None-Match", tag).Want(want)
		if a.Header.Get("Cache-Control") != "no-store" || (len(a.Body) == 0) != (want == 304) {
			t.Errorf("%v %s", a.Header, a.Body)
		}
		return a.Header.Get("ETag")
	}
	tag := d.Call(admin, "GET", openTickets, nil).Want(200).Header.Get("ETag")
	for what, change := range map[string]func(){
		"a ticket is raised":          func() { d.Raise(customer, "Screen", "It flickers") },
		"its title changes":           func() { d.Patch(customer, raised, crmtest.Object{"title": "Printer in room 2"}).Want(200) },
		"a comment is added":          func() { d.Call(customer, "POST", raised.Path("/comments"), crmtest.Object{"body": "Still"}).Want(201) },
		"its reporter's name changes": func() { d.Exec("update users set name = 'Eve' where id = $1", customer.ID) },
	} {
		list(304, tag)
		list(304, tag) // the answer is known, if nobody changed something meanwhile
		change()
		after := list(200, tag)
		if after == tag {
			t.Errorf("the entity tag is the same after %s", what)
		}
		tag = after
	}
	d.Exec("update users set name = name where id = $1", admin.ID)
	list(304, tag) // the state is another, the list is not
}

// The control is the list that is read once the state is another.
func TestListThatTheClientHasIsNotReadInTheSameState(t *testing.T) {
	d := &testEnv{}
	d.Env = crmtest.NewWithLongTimeouts(t, d.mount)
	customer, admin := d.User("customer"), d.User("admin")
	d.Raise(customer, "Printer", "It smokes")
	d.always("a")
	get := func(tag string) crmtest.Response { return d.Call(admin, "GET", openTickets, nil, "If-None-Match", tag) }
	tag := get(`"x"`).Want(200).Header.Get("ETag")
	hold, err := d.Pool.Begin(t.Context())
	if err == nil {
		_, err = hold.Exec(t.Context(), "lock table tickets in access exclusive mode")
	}
	if err != nil {
		t.Fatal(err)
	}
	get(tag).Want(304)
	d.always("b")
	read := make(chan int, 1)
	go func() { read <- get(tag).Code }()
	select {
	case code := <-read:
		t.Errorf("answered %d in another state although nobody can read tickets", code)
	case <-time.After(100 * time.Millisecond):
	}
	if err := hold.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-read; code != 304 {
		t.Errorf("answered %d in another state", code)
	}
}

// What one person has says nothing about the lists of others.
func TestListIsConfirmedToAViewerOnlyByTheirOwnETag(t *testing.T) {
	d := newTestEnv(t)
	people := map[string]crmtest.User{"customer": d.User("customer"), "other": d.User("customer"), "admin": d.User("admin")}
	d.Raise(people["customer"], "Printer", "It smokes")
	d.Raise(people["other"], "Screen", "It flickers")
	second := d.User("admin")
	d.always("a")
	tags := map[string]string{}
	for name, who := range people {
		tags[name] = d.Call(who, "GET", openTickets, nil).Want(200).Header.Get("ETag")
	}
	for range 2 { // not known before the first, then known
		for viewer, who := range people {
			for name, tag := range tags {
				if want := map[bool]int{true: 304, false: 200}[name == viewer]; d.Call(who, "GET", openTickets, nil, "If-None-Match", tag).Code != want {
					t.Errorf("the tag of %s is not answered %d to %s", name, want, viewer)
				}
			}
		}
	}
	d.Call(second, "GET", openTickets, nil, "If-None-Match", tags["admin"]).Want(304) // the same list
	d.Call(people["admin"], "GET", "/v1/tickets?status=open&limit=1", nil, "If-None-Match", tags["admin"]).Want(200)
	d.Call(people["admin"], "GET", openTickets+"&cursor=x", nil, "If-None-Match", "*").Refused(400, "invalid_cursor")
	d.Exec("update users set status = 'suspended' where id = $1", second.ID)
	d.Call(second, "GET", openTickets, nil, "If-None-Match", tags["admin"]).Refused(401, "invalid_token")
}

// Others change something in the cluster meanwhile, so that states are only compared
// where they must differ.
func TestStateOfTheDatabaseIsAnotherAfterEachCommit(t *testing.T) {
	d := newTestEnv(t)
	state := func() string {
		t.Helper()
		found, err := databaseState(t.Context(), d.Pool, nil)
		if err != nil {
			t.Fatal(err)
		}
		return found[struct{}{}]
	}
	d.Eventually("two states in a row are the same", func() bool {
		first := state()
		return state() == first
	})
	seen := map[string]bool{}
	for range 20 {
		tx, err := d.Pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "create table changed ()"); err != nil {
			t.Fatal(err)
		}
		before := state()
		end := tx.Commit
		if len(seen)%2 == 1 { // also one that changed nothing in the end
			end = tx.Rollback
		}
		if err := end(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state() == before {
			t.Error("a transaction ended, and the state is the same")
		}
		seen[before] = true
		d.Exec("drop table if exists changed")
	}
}

package ticketlist

import (
	"context"
	"testing"

	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/errs"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// fillExport makes tickets that were changed at different times.
func (d *testEnv) fillExport(reporter crmtest.User, n int) {
	d.Helper()
	d.Exec(`insert into tickets (id, title, description, reporter_id, created_at, updated_at)
		select gen_random_uuid(), 'Title ' || n, 'It smokes', $1, now() - interval '1 hour', now() - interval '1 hour' + n * interval '1 second'
		from generate_series(1, $2) n`, reporter.ID, n)
}

func TestExportListsEachTicketOnceWhileTicketsChange(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	const tickets = 3*exportPage - 100
	for _, by := range []Sort{{ByUpdated, false}, {ByUpdated, true}, {ByPriority, false}, {ByPriority, true}, {ByCreated, true}} {
		d := newTestEnv(t)
		d.fillExport(d.User("customer"), tickets)
		admin := ticket.Viewer(d.User("admin"))
		allowed := func(context.Context) error { return nil }
		// change moves tickets to both ends of the order while the list is read.
		n := 0
		change := func() {
			if n++; n%400 != 0 || n > 1200 {
				return
			}
			d.Exec(`update tickets set updated_at = now(), priority = case when number % 2 = 0 then 'low' else 'urgent' end::ticket_priority where number % 3 = $1`, n/400%3)
		}
		seen := map[int64]int{}
		err := d.service.Export(context.Background(), admin, Filter{}, by, allowed, func(t ticket.Ticket) error {
			seen[t.Number]++
			change()
			return nil
		})
		once := 0
		for _, times := range seen {
			if times == 1 {
				once++
			}
		}
		if err != nil || once != tickets || len(seen) != tickets {
			t.Errorf("%+v: %d tickets of %d once, %d at all, %v", by, once, tickets, len(seen), err)
		}
		if by.Key != ByUpdated {
			continue
		}
		// The control reads page after page without the overlap.
		d.Exec(`update tickets set updated_at = created_at + number * interval '1 second'`)
		n, once = 0, 0
		seen = map[int64]int{}
		if err := d.service.each(context.Background(), admin, Filter{}, by, allowed, func(t ticket.Ticket) error {
			seen[t.Number]++
			change()
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, times := range seen {
			if times == 1 {
				once++
			}
		}
		if once == tickets {
			t.Errorf("%+v: the control lists each once, too, so that this test can't fail", by)
		}
	}
}

func TestExportEndsWhenTheCallerMayNoLongerRead(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	d.fillExport(customer, 2*exportPage)
	p := identity.Principal{UserID: customer.ID, Role: identity.RoleCustomer}
	check := func(ctx context.Context) error { return d.Check(ctx, p) }
	for name, end := range map[string]func(){
		"control":   func() {},
		"suspended": func() { d.Exec(`update users set status = 'suspended' where id = $1`, customer.ID) },
	} {
		d.Exec(`update users set status = 'approved' where id = $1`, customer.ID)
		n := 0
		err := d.service.Export(context.Background(), ticket.Viewer(customer), Filter{}, Sort{Key: ByCreated}, check, func(ticket.Ticket) error {
			if n++; n == 10 {
				end()
			}
			return nil
		})
		switch {
		case name == "control" && (err != nil || n != 2*exportPage):
			t.Errorf("the control lists %d of %d tickets, %v", n, 2*exportPage, err)
		case name == "suspended" && (n != exportPage || errs.As(err) == nil || errs.As(err).Kind != errs.Unauthenticated):
			t.Errorf("%s: %d tickets, %v", name, n, err)
		}
	}
}

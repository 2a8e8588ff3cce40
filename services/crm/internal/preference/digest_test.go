package preference

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/notice"
	"fixdesk/services/crm/internal/outbox"
)

var discard = slog.New(slog.DiscardHandler)

// run runs the job once.
func (d *testEnv) run() {
	d.Helper()
	if _, err := d.service.runDigests(context.Background()); err != nil {
		d.Fatal(err)
	}
}

// waiting is how many notices wait for a digest.
func (d *testEnv) waiting() int {
	d.Helper()
	return crmtest.Get[int](d.Env, `select count(*) from digest_items`)
}

func TestHourlyDigestListsTicketsWithWhatHappened(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.want(customer, Hourly)
	printer, scanner := d.Raise(customer, "Printer", "It smokes"), d.Raise(customer, "Scanner", "It hums")
	d.WantNotices("two tickets: receipts come at once", "ticket_received > "+customer.Email, "ticket_received > "+customer.Email,
		"ticket_assigned > "+engineer.Email, "ticket_assigned > "+engineer.Email)
	d.Call(engineer, "POST", printer.Path("/accept"), nil).Want(200)
	d.comment(engineer, scanner, "canarysecret")
	d.Patch(engineer, printer, crmtest.Object{"status": "resolved", "resolution": "canarysecret"}).Want(200)
	d.WantNotices("what waits for the digest")
	if n := crmtest.Get[int](d.Env, `select count(*) from digest_items x where x::text like '%canarysecret%'`); n != 0 {
		t.Errorf("%d items have texts that people wrote", n)
	}
	d.run()
	d.WantNotices("a digest before its hour")
	d.Advance(time.Hour)
	d.run()
	mails := d.Messages()
	if len(mails) != 1 || mails[0].String() != "digest > "+customer.Email {
		t.Fatalf("mails %v", mails)
	}
	for _, want := range []string{
		"“Printer”, resolved\n" + engineer.Name + " changed the status from open to in progress.\n" + engineer.Name + " changed the status from in progress to resolved.\n" + engineer.Name + " changed the resolution.\nhttp://crm.test/tickets/",
		"“Scanner”, open\n" + engineer.Name + " commented.\nhttp://crm.test/tickets/",
	} {
		if !strings.Contains(mails[0].Text, want) {
			t.Errorf("no %q in\n%s", want, mails[0].Text)
		}
	}
	d.run()
	d.WantNotices("the job again")
	if d.waiting() != 0 {
		t.Error("something still waits")
	}
}

func TestDailyDigestComesAtItsHourInItsTimeZone(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.want(customer, Daily) // at 8 in Berlin
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.comment(engineer, ticket, "On my way")
	d.Messages()
	since := crmtest.Get[time.Time](d.Env, `select created_at from digest_items`)
	due := Preferences{Digest: Daily, Hour: 8, TimeZone: "Europe/Berlin"}.due(since)
	d.Advance(due.Sub(d.Now()) - 10*time.Minute)
	d.run()
	d.WantNotices("a digest before its hour")
	d.Advance(10 * time.Minute)
	d.run()
	d.WantNotices("a digest at its hour", "digest > "+customer.Email)
}

func TestEndingTheDigestMailsWhatWaits(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	d.want(customer, Daily)
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.comment(engineer, ticket, "On my way")
	d.Messages()
	d.want(customer, Never)
	d.run()
	d.WantNotices("the end of the digest", "digest > "+customer.Email)
	d.comment(engineer, ticket, "I am there")
	d.WantNotices("a comment without a digest", "ticket_commented > "+customer.Email)
}

func TestDigestLeavesOutWhatItsRecipientMayNotSeeOrDoesNotWant(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, first, second, admin := d.User("customer"), d.Engineer(), d.Engineer(), d.User("admin")
	d.want(first, Hourly)
	d.want(second, Hourly)
	d.want(customer, Hourly)
	ticket, mine, _ := d.Pair(customer, first, second)
	d.comment(customer, ticket, "Please hurry")
	d.comment(mine, ticket, "On my way")
	d.Messages()
	d.Do(func(q *crmdb.Queries) error { return d.Leave(q, mine, admin, "customer", "approved") })
	d.want(customer, Hourly, "ticket_commented")
	d.Advance(time.Hour)
	d.run()
	got := d.Notices()
	if slices.Contains(got, "digest > "+mine.Email) || slices.Contains(got, "digest > "+customer.Email) {
		t.Errorf("notices %v", got)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from digest_items where user_id = any($1)`, []uuid.UUID{mine.ID, customer.ID}); n != 0 {
		t.Errorf("%d items stay", n)
	}
	// The control: with neither change there is a digest.
	other, _, _ := d.Pair(customer, first, second)
	d.Patch(customer, other, crmtest.Object{"title": "Another"}).Want(200)
	d.Patch(admin, other, crmtest.Object{"title": "Still another"}).Want(200)
	d.Advance(time.Hour)
	d.run()
	if got := d.Notices(); !slices.Contains(got, "digest > "+customer.Email) {
		t.Errorf("the control: notices %v", got)
	}
}

// comments are how many comments the digests in the outbox report.
func (d *testEnv) comments() int {
	d.Helper()
	n := 0
	for _, m := range d.Messages() {
		digest, ok := m.Notice.(notice.Digest)
		if !ok {
			continue
		}
		for _, t := range digest.Tickets {
			n += len(t.News) + t.Earlier
		}
	}
	return n
}

func TestEachNoticeIsInOneDigestWhenReplicasAndWritersRace(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.want(customer, Hourly)
	const writers, each, replicas = 4, 15, 4
	d.Messages()
	var writing, replicating sync.WaitGroup
	done := make(chan struct{})
	for range writers {
		writing.Go(func() {
			for range each {
				d.comment(engineer, ticket, "Still on my way")
			}
		})
	}
	for range replicas {
		replicating.Go(func() {
			for {
				if _, err := d.service.writeDigest(context.Background(), customer.ID); err != nil {
					d.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	replicating.Wait()
	if _, err := d.service.writeDigest(context.Background(), customer.ID); err != nil {
		t.Fatal(err)
	}
	if got := d.comments(); got != writers*each || d.waiting() != 0 {
		t.Errorf("%d comments in digests, %d waiting, want %d and 0", got, d.waiting(), writers*each)
	}
}

// The control of the test above: two replicas that read what waits before either
// has removed it.
func TestControlDigestsWrittenBeforeTheirItemsAreRemovedDouble(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	ticket := d.Raise(customer, "Printer", "It smokes")
	d.want(customer, Hourly)
	d.comment(engineer, ticket, "On my way")
	d.Messages()
	q := crmdb.New(d.Pool)
	for range 2 {
		rows, err := d.Pool.Query(t.Context(), `select id, kind, reference, data from digest_items`)
		if err != nil {
			t.Fatal(err)
		}
		items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[crmdb.DigestTakeRow])
		if err != nil {
			t.Fatal(err)
		}
		n, err := digest(t.Context(), q, customer.ID, items)
		if err != nil {
			t.Fatal(err)
		}
		if err := outbox.Add(t.Context(), q, d.Now(), customer.ID, n); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.comments(); got != 2 {
		t.Errorf("%d comments, want the one twice", got)
	}
}

func TestDigestThatCantBeWrittenLosesNothing(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, other, engineer := d.User("customer"), d.User("customer"), d.Engineer()
	d.want(customer, Hourly)
	d.want(other, Hourly)
	for _, who := range []crmtest.User{customer, other} {
		d.comment(engineer, d.Raise(who, "Printer", "It smokes"), "On my way")
	}
	d.Messages()
	d.Advance(time.Hour)
	d.Exec(`create function broken() returns trigger language plpgsql as 'begin raise ''no space''; end'`)
	d.Exec(`create trigger broken before insert on outbox for each row when (new.data->'to'->>'id' = '` + customer.ID.String() + `') execute function broken()`)
	if _, err := d.service.runDigests(t.Context()); err == nil {
		t.Error("the failure is not reported")
	}
	d.WantNotices("a failure for one person", "digest > "+other.Email)
	if d.waiting() != 1 {
		t.Errorf("%d notices wait", d.waiting())
	}
	d.Exec(`drop trigger broken on outbox`)
	d.run()
	d.WantNotices("the next run", "digest > "+customer.Email)
}

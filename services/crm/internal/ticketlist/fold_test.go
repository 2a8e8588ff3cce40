package ticketlist

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

func TestSearchFoldsAccentsAndSharpSAndFindsEmoji(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	for title, description := range map[string]string{
		"Café":   "The machine at the corner leaks",
		"Straße": "GROẞE Umleitung, Ångström, smörgås, ﬁle",
		"Party":  "It is 🎉 time, with ☕ and 👍🏽",
	} {
		d.Raise(customer, title, description)
	}
	for q, want := range map[string]string{
		"cafe": "Café", "CAFÉ": "Café", "cafe\u0301": "Café", "caf": "Café",
		"strasse": "Straße", "straße": "Straße", "STRASSE": "Straße", "grosse": "Straße", "angstrom": "Straße", "smorgas": "Straße", "file": "Straße",
		"🎉": "Party", "☕": "Party", "👍": "Party", "👍🏿": "Party", "🎉 time": "Party", "🚀": "",
	} {
		if got := strings.Join(d.find(customer, q), ","); got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
	}
}

func TestWordsOfOlderRulesAreFoldedInTheBackground(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	raised := d.Raise(customer, "Straße", "Umleitung")
	d.Call(customer, "POST", raised.Path("/comments"), crmtest.Object{"body": "Café"}).Want(201)
	d.Raise(customer, "Lamp", "It flickers")
	// The words are those of the first release.
	d.Exec(`update ticket_search set search = to_tsvector('simple', 'straße umleitung'), folding = 0 where ticket_id = $1`, raised.ID)
	d.Exec(`update ticket_comments set search = to_tsvector('simple', 'café'), folding = 0`)
	if got := append(d.find(customer, "strasse"), d.find(customer, "cafe")...); len(got) != 0 {
		t.Fatalf("%v is found before, so that this test can't fail", got)
	}
	if again, err := d.service.foldOnce(context.Background()); err != nil || again {
		t.Fatal(again, err)
	}
	if got := append(d.find(customer, "strasse"), d.find(customer, "cafe")...); !slices.Equal(got, []string{"Straße", "Straße"}) {
		t.Errorf("found %v", got)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_search where folding = 0`) + crmtest.Get[int](d.Env, `select count(*) from ticket_comments where folding = 0`); n != 0 {
		t.Errorf("%d are left", n)
	}
}

func TestTicketsWrittenByThePreviousReleaseAreFound(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer := d.User("customer")
	insert := func(title string) uuid.UUID {
		id := uuid.Must(uuid.NewV7())
		d.Exec(`insert into tickets (id, title, description, search, reporter_id, created_at, updated_at)
			values ($1, $2, 'It smokes', to_tsvector('simple', lower($2)), $3, now(), now())`, id, title, customer.ID)
		return id
	}
	id := insert("Printer")
	if got := d.find(customer, "printer"); len(got) != 1 {
		t.Errorf("after the insert: found %v", got)
	}
	d.Exec(`update tickets set title = 'Screen', search = to_tsvector('simple', 'screen') where id = $1`, id)
	if got := append(d.find(customer, "printer"), d.find(customer, "screen")...); !slices.Equal(got, []string{"Screen"}) {
		t.Errorf("after the update: found %v", got)
	}
	d.Exec(`drop trigger tickets_search on tickets`)
	insert("Mouse")
	if got := d.find(customer, "mouse"); len(got) != 0 {
		t.Error("it is found without the trigger, too: this test can't fail")
	}
}

// before returns the migrations whose numbers are lower.
func before(t *testing.T, number string) fs.FS {
	t.Helper()
	const dir = "crm/migrations/"
	files := fstest.MapFS{}
	names, err := fs.Glob(db.CRM, dir+"*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(db.CRM, name)
		if err != nil {
			t.Fatal(err)
		}
		if name < dir+number {
			files[name] = &fstest.MapFile{Data: data}
		}
	}
	return files
}

func TestTicketsOfTheFirstReleaseAreFoundAfterTheMigration(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	pool := pgtest.New(t, before(t, "00034"), "crm/migrations")
	d := newTestEnvOn(t, pool)
	customer := d.User("customer")
	d.Exec(`insert into tickets (id, title, description, search, reporter_id, created_at, updated_at)
		select gen_random_uuid(), 'Printer', 'It smokes', to_tsvector('simple', 'printer ' || n), $1, now(), now() from generate_series(1, 5500) n`, customer.ID)
	if err := pg.Migrate(context.Background(), pool, db.CRM, "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_search where folding = 0`); n != 5500 {
		t.Errorf("%d of 5500 tickets have words", n)
	}
	if got := d.find(customer, "5499"); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}

// TestStatusChangeWritesNoMoreThanANarrowRow compares the write-ahead log of a
// status change of a ticket with a long description with that of a row without
// one, which has the same B-tree indexes and is updated by hand.
func TestStatusChangeWritesNoMoreThanANarrowRow(t *testing.T) {
	t.Parallel()
	cluster, err := pgtest.StartCluster(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	ctx := context.Background()
	pool, err := pg.Open(ctx, cluster.URL(), pg.Config{MaxConns: 2, AcquireTimeout: time.Minute, StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := pg.Migrate(ctx, pool, db.CRM, "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	d := newTestEnvOn(t, pool)
	customer := d.User("customer")
	random := make([]byte, 8000)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	long := hex.EncodeToString(random)[:15000] + strings.Repeat(" word", 1000)
	raised := d.Raise(customer, "Printer", long)
	d.Exec(`create table narrow (like tickets including defaults including indexes)`)
	d.Exec(`insert into narrow (id, number, title, description, status, reporter_id, created_at, updated_at)
		select id, number, title, 'short', status, reporter_id, created_at, updated_at from tickets`)

	const changes = 20
	version := int32(1)
	measure := func(change func(status crmdb.TicketStatus, closedAt *time.Time)) int64 {
		const position = `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`
		start := crmtest.Get[int64](d.Env, position)
		for range changes / 2 {
			now := d.Now()
			change("closed", &now)
			change("open", nil)
		}
		return (crmtest.Get[int64](d.Env, position) - start) / changes
	}
	ours := measure(func(status crmdb.TicketStatus, closedAt *time.Time) {
		n, err := crmdb.New(pool).TicketUpdate(ctx, crmdb.TicketUpdateParams{
			ID: raised.ID, Version: version, Title: "Printer", Description: long, Priority: "normal", Status: status, ClosedAt: closedAt, UpdatedAt: d.Now(),
		})
		if err != nil || n != 1 {
			t.Fatal(n, err)
		}
		version++
	})
	byHand := measure(func(status crmdb.TicketStatus, closedAt *time.Time) {
		d.Exec(`update narrow set status = $1, closed_at = $2, version = version + 1, updated_at = $3`, status, closedAt, d.Now())
	})
	// The control is the statement of the first release.
	control := measure(func(status crmdb.TicketStatus, closedAt *time.Time) {
		d.Exec(`update tickets set description = $1, search = to_tsvector('simple', $1), status = $2, closed_at = $3, version = version + 1, updated_at = $4`,
			long, status, closedAt, d.Now())
	})
	t.Logf("%d bytes of log for a status change, %d by hand on a narrow row, %d by the first release", ours, byHand, control)
	if ours > 2*byHand {
		t.Errorf("%d bytes of log for a status change, %d by hand on a narrow row", ours, byHand)
	}
	if control <= 2*byHand {
		t.Errorf("the control writes %d bytes, so that this test can't fail", control)
	}
}

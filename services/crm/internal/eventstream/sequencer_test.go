package eventstream

import (
	"context"
	"io/fs"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/dev/pgserver"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/crmdb"
	"fixdesk/services/crm/internal/crmtest"
)

const insertEvent = `insert into ticket_events (id, ticket_id, kind, created_at) values ($1, $2, 'updated', now())`

// behindHorizon counts the events that the first release would have sent: those
// of transactions that began before all open ones of the cluster.
const behindHorizon = `select count(*) from ticket_events where transaction_id < pg_snapshot_xmin(pg_current_snapshot())::xid8`

// positioned lists the events that have a position, in order.
func (d *testEnv) positioned() []uuid.UUID {
	d.Helper()
	return crmtest.List[uuid.UUID](d.Env, `select id from ticket_events where position is not null order by position`)
}

func (d *testEnv) begin(pool *pgxpool.Pool) pgx.Tx {
	d.Helper()
	tx, err := pool.Begin(context.Background())
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func execTx(t testing.TB, tx pgx.Tx, sql string, args ...any) {
	t.Helper()
	if _, err := tx.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func TestEventThatCommitsLateGetsALaterPosition(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	admin := d.User("admin")
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	r := d.newReplica(nil)
	l := d.connect(r.url, admin.ID.String(), "0")
	l.until(func(e receivedEvent) bool { return e.kind == "created" })

	early, late := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	slow := d.begin(d.Pool)
	execTx(t, slow, insertEvent, early, raised.ID)
	d.Exec(insertEvent, late, raised.ID)
	r.service.Wake()
	if got := l.next().body.ID; got != late {
		t.Fatalf("got %s while %s was not committed, want %s", got, early, late)
	}
	// The control reads the events whose id is greater than the last one.
	var last uuid.UUID
	naive := func() []uuid.UUID {
		ids := crmtest.List[uuid.UUID](d.Env, `select id from ticket_events where id > $1 order by id`, last)
		if len(ids) > 0 {
			last = ids[len(ids)-1]
		}
		return ids
	}
	naive()
	if err := slow.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(naive(), early) {
		t.Fatal("the control misses nothing, so that this test can't fail")
	}
	r.service.Wake()
	if got := l.next().body.ID; got != early {
		t.Errorf("got %s, want %s", got, early)
	}
}

func TestLongTransactionElsewhereDoesNotDelayTheStream(t *testing.T) {
	t.Parallel()
	closeIdleConnections(t)
	d := newTestEnv(t)
	other, err := pg.Open(context.Background(), pgtest.NewURL(t, db.CRM, "crm/migrations"), pg.Config{MaxConns: 1, AcquireTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(nil)
	l := d.connect(r.url, admin.ID.String(), "")
	for name, pool := range map[string]*pgxpool.Pool{"in the same database": d.Pool, "in another database": other} {
		tx := d.begin(pool)
		execTx(t, tx, `select pg_current_xact_id()`)
		raised := d.Raise(customer, "Printer", "It smokes")
		started := time.Now()
		r.service.Wake()
		if e := l.next(); e.body.TicketID != raised.ID || e.kind != "created" {
			t.Errorf("%s: got %s", name, e.data)
		}
		t.Logf("%s: the event came after %s", name, time.Since(started))
		if crmtest.Get[int](d.Env, behindHorizon+` and ticket_id = $1`, raised.ID) != 0 {
			t.Errorf("%s: the control isn't delayed, so that this test can't fail", name)
		}
		if err := tx.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPositionsBecomeVisibleInTheirOrder(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	ctx := context.Background()
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	s := store{d.Pool}
	if again, err := s.sequence(ctx); err != nil || again {
		t.Fatal(again, err)
	}
	first, second := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	d.Exec(insertEvent, first, raised.ID)
	slow := d.begin(d.Pool)
	if err := crmdb.New(slow).EventSequencerLock(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := crmdb.New(slow).EventSequence(ctx, 1); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	d.Exec(insertEvent, second, raised.ID)

	// The control has no lock: the later position is seen before the earlier one.
	control := d.begin(d.Pool)
	execTx(t, control, `update ticket_events set position = nextval('ticket_event_positions') where id = $1`, second)
	var seen uuid.UUID
	if err := control.QueryRow(ctx, `select id from ticket_events where position is not null order by position desc limit 1`).Scan(&seen); err != nil || seen != second {
		t.Fatalf("the control misses nothing, so that this test can't fail: %v", err)
	}
	if err := control.Rollback(ctx); err != nil {
		t.Fatal(err)
	}

	done := make(chan error, 1)
	go func() { _, err := s.sequence(ctx); done <- err }()
	d.Eventually("the other sequencer waits for the lock", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`) > 0
	})
	if slices.Contains(d.positioned(), second) {
		t.Error("a position is given while another sequencer holds the lock")
	}
	if err := slow.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if ids := d.positioned(); !slices.Equal(ids[len(ids)-2:], []uuid.UUID{first, second}) {
		t.Errorf("positions of %v, want %s and %s last", ids, first, second)
	}
}

func TestKilledSequencerLosesNoEvent(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	ctx := context.Background()
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	for range 5 {
		d.Exec(insertEvent, uuid.Must(uuid.NewV7()), raised.ID)
	}
	want := crmtest.List[uuid.UUID](d.Env, `select id from ticket_events order by created_at, id`)
	killed := d.begin(d.Pool)
	if err := crmdb.New(killed).EventSequencerLock(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := crmdb.New(killed).EventSequence(ctx, 3); err != nil {
		t.Fatal(err)
	}
	d.Exec(`select pg_terminate_backend($1)`, killed.Conn().PgConn().PID())
	d.Eventually("the lock is free", func() bool {
		return crmtest.Get[int](d.Env, `select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`) == 0
	})
	if again, err := (store{d.Pool}).sequence(ctx); err != nil || again {
		t.Fatal(again, err)
	}
	if got := d.positioned(); !slices.Equal(got, want) {
		t.Errorf("positions of %v, want %v", got, want)
	}
}

func TestLagIsTheAgeOfTheOldestEventWithoutAPosition(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	r := d.newReplica(func(s *Service) { s.sequencer.Interval = 5 * time.Millisecond })
	lag := func() float64 { return r.gauge("event_stream_lag_seconds") }
	d.Eventually("nothing waits", func() bool { return lag() == 0 })
	holder := d.begin(d.Pool)
	if err := crmdb.New(holder).EventSequencerLock(context.Background()); err != nil {
		t.Fatal(err)
	}
	raised := d.Raise(d.User("customer"), "Printer", "It smokes")
	d.Exec(`insert into ticket_events (id, ticket_id, kind, created_at) values ($1, $2, 'updated', $3)`,
		uuid.Must(uuid.NewV7()), raised.ID, d.Now().Add(-time.Hour))
	d.Eventually("an event waits for an hour", func() bool { return lag() > 3599 })
	if err := holder.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	d.Eventually("nothing waits again", func() bool { return lag() == 0 })
	idle := NewService(Config{Pool: d.Pool, Now: d.Now, Registry: prometheus.NewRegistry()})
	if lag := idle.lagSeconds(); !math.IsNaN(lag) {
		t.Errorf("before the first run the lag is %v", lag)
	}
}

// migrationsBefore30 are the migrations before event positions.
func migrationsBefore30(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	entries, err := fs.ReadDir(db.CRM, "crm/migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() >= "00030" {
			continue
		}
		data, err := fs.ReadFile(db.CRM, "crm/migrations/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		files["crm/migrations/"+e.Name()] = &fstest.MapFile{Data: data}
	}
	return files
}

func TestEventsOfTheFirstReleaseKeepTheirOrder(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, migrationsBefore30(t), "crm/migrations")
	ctx := context.Background()
	for _, sql := range []string{
		`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
			values ('00000000-0000-0000-0000-000000000001', 'Ada', 'ada@example.com', '', 'x', 'customer', 'approved', now(), now())`,
		`insert into tickets (id, title, description, reporter_id, created_at, updated_at)
			values ('00000000-0000-0000-0000-000000000002', 'Printer', 'It smokes', '00000000-0000-0000-0000-000000000001', now(), now())`,
		// The events are more than one batch, with times against the order of the transactions.
		`insert into ticket_events (id, ticket_id, kind, created_at, transaction_id)
			select gen_random_uuid(), '00000000-0000-0000-0000-000000000002', 'updated', now() - n * interval '1 second', (n / 3)::text::xid8
			from generate_series(1, 12000) n`,
	} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	d := envOn(t, pool)
	if err := pg.Migrate(ctx, pool, db.CRM, "crm/migrations", discard); err != nil {
		t.Fatal(err)
	}
	want := crmtest.List[uuid.UUID](d.Env, `select id from ticket_events order by transaction_id, id`)
	if got := d.positioned(); !slices.Equal(got, want) {
		t.Errorf("%d of %d events have positions, or in another order", len(got), len(want))
	}
	// An older binary that still serves writes no position.
	d.Exec(insertEvent, uuid.Must(uuid.NewV7()), uuid.MustParse("00000000-0000-0000-0000-000000000002"))
	if _, err := (store{pool}).sequence(ctx); err != nil {
		t.Fatal(err)
	}
	if n := crmtest.Get[int](d.Env, `select count(*) from ticket_events where position is null`); n != 0 {
		t.Errorf("%d events without a position", n)
	}
}

// newCluster starts another PostgreSQL server and returns its URL.
func newCluster(t *testing.T) string {
	t.Helper()
	cluster, err := pgtest.StartCluster(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster.URL()
}

func openDatabase(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pg.Open(context.Background(), url, pg.Config{MaxConns: 10, AcquireTimeout: time.Minute, StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestStreamResumesAfterDumpAndRestore(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	closeIdleConnections(t)
	ctx := context.Background()
	before, after := newCluster(t), newCluster(t)
	bin, err := pgserver.Find(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pool := openDatabase(t, before)
	if err := pg.Migrate(ctx, pool, db.CRM, "crm/migrations", discard); err != nil {
		t.Fatal(err)
	}
	// The new cluster has fewer transactions.
	for range 200 {
		if _, err := pool.Exec(ctx, `select pg_current_xact_id()`); err != nil {
			t.Fatal(err)
		}
	}
	d := envOn(t, pool)
	customer, admin := d.User("customer"), d.User("admin")
	r := d.newReplica(nil)
	l := d.connect(r.url, admin.ID.String(), "")
	first := d.Raise(customer, "Printer", "It smokes")
	events := l.until(func(e receivedEvent) bool { return e.kind == "created" && e.body.TicketID == first.ID })
	last := events[len(events)-1].id
	l.close()
	second := d.Raise(customer, "Lamp", "It flickers")
	r.stop()

	dump := filepath.Join(t.TempDir(), "crm.dump")
	for _, command := range [][]string{
		{"pg_dump", "--format=custom", "--file=" + dump, "--dbname=" + before},
		{"pg_restore", "--exit-on-error", "--clean", "--if-exists", "--no-owner", "--dbname=" + after, dump},
	} {
		out, err := exec.CommandContext(ctx, filepath.Join(bin, command[0]), command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command[0], err, out)
		}
	}
	restored := openDatabase(t, after)
	d = envOn(t, restored)
	r = d.newReplica(nil)
	l = d.connect(r.url, admin.ID.String(), last)
	third := d.Raise(customer, "Mouse", "It squeaks")
	var created []uuid.UUID
	for len(created) < 2 {
		if e := l.next(); e.kind == "created" {
			created = append(created, e.body.TicketID)
		}
	}
	if want := []uuid.UUID{second.ID, third.ID}; !slices.Equal(created, want) {
		t.Errorf("after the restore come the creations of %v, want %v", created, want)
	}
	// The control is the order of the first release, by which the events of the old
	// cluster are not read before the new one has as many transactions.
	if n := crmtest.Get[int](d.Env, behindHorizon); n >= crmtest.Get[int](d.Env, `select count(*) from ticket_events`) {
		t.Error("the control has all events, so that this test can't fail")
	}
	if !strings.Contains(last, "-") {
		t.Errorf("the last id %q names no event", last)
	}
}

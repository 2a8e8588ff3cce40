package erasure

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"fixdesk/db"
	"fixdesk/pkg/background"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/services/notification/internal/delivery"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type testEnv struct {
	*testing.T
	pool    *pgxpool.Pool
	service *Service
	now     time.Time
}

func newTestEnv(t *testing.T) *testEnv {
	env := &testEnv{T: t, pool: pgtest.New(t, db.Notification, "notification/migrations"), now: time.Now().UTC().Truncate(time.Microsecond)}
	env.service = New(env.pool, func() time.Time { return env.now }, slog.New(slog.DiscardHandler), background.NewMetrics(prometheus.NewRegistry()))
	return env
}

// mailed stores a notification that was sent to addresses, each after a first failure.
func (env *testEnv) mailed(to ...string) (notification uuid.UUID) {
	env.Helper()
	id := env.id()
	env.exec(`insert into notifications (id, caller, idempotency_key, body_hash, subject, text, html, bytes, requester, request_id, message_domain, recipient_count, created_at, reply_to)
		values ($1::uuid, 'crm', $1::uuid::text, decode(repeat('00', 32), 'hex'), 'canary subject', 'canary text', 'canary html', 20, 'r', '', 'd', $2, now(), 'canary@x')`, id, len(to))
	env.exec("insert into notification_files (notification_id, ordinal, filename, media_type, content) values ($1, 0, 'canary.txt', 'text/plain', 'canary')", id)
	for ordinal, email := range to {
		recipient := env.id()
		env.exec(`insert into recipients (id, notification_id, ordinal, email, status, attempts, enqueued_at, next_attempt_at, finished_at, last_error)
			values ($1, $2, $3, $4, 'failed', 1, now(), now(), now(), 'no ' || $4)`, recipient, id, ordinal, email)
		env.exec("insert into attempts values ($1, 1, now(), 'mx', 550, 'no such user ' || $2::text, 'permanent')", recipient, email)
		env.exec("insert into delivery_reports (id, recipient_id, kind, received_at, server, text) values (gen_random_uuid(), $1, 'failed', now(), 'mx', 'about ' || $2::text)", recipient, email)
	}
	return id
}

// id is a UUIDv7 of the clock's time.
func (env *testEnv) id() uuid.UUID {
	id, tail := delivery.FirstID(env.now), uuid.New()
	copy(id[6:], tail[6:])
	return id
}

func (env *testEnv) exec(sql string, args ...any) {
	env.Helper()
	if _, err := env.pool.Exec(env.Context(), sql, args...); err != nil {
		env.Fatal(err)
	}
}

func (env *testEnv) count(sql string, args ...any) (n int) {
	env.Helper()
	if err := env.pool.QueryRow(env.Context(), sql, args...).Scan(&n); err != nil {
		env.Fatal(err)
	}
	return n
}

// traces counts the rows of all tables that have a text.
func (env *testEnv) traces(text string) (n int) {
	env.Helper()
	rows, err := env.pool.Query(env.Context(), `select c.oid::regclass::text from pg_class c
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`)
	if err != nil {
		env.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		env.Fatal(err)
	}
	for _, table := range tables {
		n += env.count("select count(*) from "+table+" x where x::text ilike '%' || $1::text || '%'", text)
	}
	return n
}

func (env *testEnv) add(email string) {
	env.Helper()
	hash := sha256.Sum256([]byte(email))
	if err := env.service.Add(env.Context(), hex.EncodeToString(hash[:])); err != nil {
		env.Fatal(err)
	}
}

// run does all erasures that are due.
func (env *testEnv) run() {
	env.Helper()
	for more := true; more; {
		var err error
		if more, err = env.service.runOnce(env.Context()); err != nil {
			env.Fatal(err)
		}
	}
}

func TestMailsToAnAddressAreErased(t *testing.T) {
	t.Parallel()
	env := newTestEnv(t)
	alone := env.mailed("ada@example.com")
	shared := env.mailed("bob@example.com", "ada@example.com")
	other := env.mailed("bob@example.com")
	if n := env.traces("ada@example.com"); n != 6 { // the control: the search finds them
		t.Fatalf("%d rows with the address", n)
	}
	env.add("ada@example.com")
	env.run()
	env.now = env.now.Add(time.Minute)
	later := env.mailed("ada@example.com") // a new person of the same address, after the erasure
	env.run()
	if n := env.count("select count(*) from recipients where email = 'ada@example.com' and notification_id <> $1", later); n != 0 {
		t.Errorf("%d recipients are left", n)
	}
	if n := env.traces("ada@example.com"); n != 3 {
		t.Errorf("%d rows with the address, want the 3 of the later mail", n)
	}
	const kept = "select count(*) from notifications n join notification_files f on f.notification_id = n.id where n.id = $1 and n.text = 'canary text' and n.html is not null and n.subject <> ''"
	if a, s, o, l := env.count(kept, alone), env.count(kept, shared), env.count(kept, other), env.count(kept, later); a != 0 || s != 1 || o != 1 || l != 1 {
		t.Errorf("content of the mail to the person alone %d, shared %d, of another %d, later %d", a, s, o, l)
	}
	if n := env.count("select count(*) from notifications where id = $1 and sensitive and concat(subject, text, html, reply_to) = ''", alone); n != 1 {
		t.Error("the mail to the person alone has content")
	}
	if n := env.count("select count(*) from recipients r join attempts a on a.recipient_id = r.id where r.status = 'failed' and a.code = 550"); n != 5 {
		t.Errorf("%d results of 5 are left", n)
	}
	if n := env.count("select count(*) from erasures"); n != 0 {
		t.Errorf("%d erasures are left", n)
	}
}

func TestMailThatIsStillToBeSentIsErasedAfterwards(t *testing.T) {
	t.Parallel()
	env := newTestEnv(t)
	env.mailed("ada@example.com")
	env.exec("update recipients set status = 'queued', finished_at = null, queue_at = now()")
	env.add("ada@example.com")
	env.run()
	if r, e := env.traces("ada@example.com"), env.count("select count(*) from erasures"); r != 3 || e != 1 {
		t.Errorf("before: %d rows, %d erasures, want 3 and 1", r, e)
	}
	env.exec("update recipients set status = 'sent', queue_at = null, finished_at = now()")
	env.run() // not due
	env.now = env.now.Add(again)
	env.run()
	if r, e := env.traces("ada@example.com"), env.count("select count(*) from erasures"); r != 0 || e != 0 {
		t.Errorf("after: %d rows, %d erasures", r, e)
	}
}

func TestErasureGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	env := newTestEnv(t)
	for range 3 {
		env.mailed("bob@example.com", "ada@example.com")
	}
	env.add("ada@example.com")
	// Stands for a fault of the database: the last one can't be erased.
	env.exec("create function fault() returns trigger language plpgsql as $$ begin raise 'fault'; end $$")
	env.exec("create trigger fault before update on recipients for each row when (old.id >= '" +
		env.recipient("where email like 'ada%' order by id desc limit 1") + "') execute function fault()")
	if _, err := env.service.runOnce(t.Context()); err == nil {
		t.Fatal("the fault had no effect")
	}
	env.exec("drop trigger fault on recipients")
	env.add("ada@example.com") // the same request again changes nothing
	env.run()
	if n := env.traces("ada@example.com"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

func (env *testEnv) recipient(which string) (id string) {
	env.Helper()
	if err := env.pool.QueryRow(env.Context(), "select id::text from recipients "+which).Scan(&id); err != nil {
		env.Fatal(err)
	}
	return id
}

func TestErasureReadsRecipientsInBatchesByTheirIndex(t *testing.T) {
	t.Parallel()
	env := newTestEnv(t)
	for range 20 {
		env.mailed("bob@example.com")
	}
	env.exec("insert into recipients (id, notification_id, ordinal, email, status, attempts, enqueued_at, next_attempt_at, finished_at) select gen_random_uuid(), gen_random_uuid(), 0, 'x' || n, 'sent', 1, now(), now(), now() from generate_series(1, 20000) n")
	env.exec("analyze recipients")
	env.exec("insert into erasures (email_hash, before_id, due_at) values (sha256('x'), 'ffffffff-ffff-ffff-ffff-ffffffffffff', now())")
	var most int
	for _, plan := range pgtest.PlansOf(t, env.pool, func(pool *pgxpool.Pool) {
		s := *env.service
		s.db = pool
		if _, err := s.step(t.Context(), sum("x"), uuid.Max, 50); err != nil {
			t.Error(err)
		}
	}) {
		most = max(most, pgtest.MostRead(plan))
		if t.Failed() || most > 60 {
			t.Errorf("%d rows are read for 50:\n%s", most, strings.Join(plan, "\n"))
		}
	}
	if most < 50 { // the control: the search has read them
		t.Errorf("%d rows are read", most)
	}
}

func sum(s string) []byte {
	hash := sha256.Sum256([]byte(s))
	return hash[:]
}

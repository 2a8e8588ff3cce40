package pg_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/pkg/pg"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var none = fstest.MapFS{"m/00001_none.sql": {Data: []byte("-- +goose Up\nselect 1;\n")}}

func open(t *testing.T, url string, config pg.Config) *pgxpool.Pool {
	t.Helper()
	config.AcquireTimeout = cmp.Or(config.AcquireTimeout, time.Minute)
	pool, err := pg.Open(t.Context(), url, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func mustExec(t *testing.T, pool *pgxpool.Pool, sql string, arguments ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, arguments...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestSessionsHaveTimeLimitsAndAName(t *testing.T) {
	url := pgtest.NewURL(t, none, "m")
	for name, test := range map[string]struct {
		url    string
		config pg.Config
		want   map[string]string
	}{
		"defaults": {url, pg.Config{Application: "crm"}, map[string]string{
			"application_name": "crm", "statement_timeout": "5s", "lock_timeout": "2s",
			"idle_in_transaction_session_timeout": "10s", "timezone": "UTC", "jit": "off", "random_page_cost": "1.1"}},
		"configured":  {url, pg.Config{StatementTimeout: 700 * time.Millisecond}, map[string]string{"statement_timeout": "700ms"}},
		"the URL's":   {url + "&statement_timeout=9s&random_page_cost=4", pg.Config{StatementTimeout: time.Second}, map[string]string{"statement_timeout": "9s", "random_page_cost": "4"}},
		"pool's size": {url + "&pool_max_conns=3", pg.Config{MaxConns: 7}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			pool := open(t, test.url, test.config)
			for setting, want := range test.want {
				var got string
				if err := pool.QueryRow(t.Context(), "select current_setting($1)", setting).Scan(&got); err != nil || got != want {
					t.Errorf("%s is %q, want %q (%v)", setting, got, want, err)
				}
			}
			if n := test.config.MaxConns; n != 0 && pool.Config().MaxConns != n {
				t.Errorf("at most %d connections, want %d", pool.Config().MaxConns, n)
			}
		})
	}
}

func TestInvalidURLIsRefusedWithoutRepeatingIt(t *testing.T) {
	_, err := pg.Open(t.Context(), "postgres://user:canary@host:nonsense/db", pg.Config{})
	if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}

func TestUUIDsAndTimesAreReadAsWritten(t *testing.T) {
	pool := pgtest.New(t, none, "m")
	id := uuid.Must(uuid.NewV7())
	at := time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.FixedZone("", 3600))
	for name, options := range map[string][]any{
		"prepared": nil, "exec mode": {pgx.QueryExecModeExec}, "simple protocol": {pgx.QueryExecModeSimpleProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				gotID, zero uuid.UUID
				gotNull     *uuid.UUID
				gotPointer  *uuid.UUID
				gotIDs      []uuid.UUID
				gotAt       time.Time
				gotTimes    []time.Time
			)
			arguments := append(append([]any{}, options...), id, (*uuid.UUID)(nil), &id, []uuid.UUID{id, zero}, at, []time.Time{at})
			err := pool.QueryRow(t.Context(), "select $1::uuid, $2::uuid, $3::uuid, $4::uuid[], $5::timestamptz, $6::timestamptz[]", arguments...).
				Scan(&gotID, &gotNull, &gotPointer, &gotIDs, &gotAt, &gotTimes)
			if err != nil {
				t.Fatal(err)
			}
			if gotID != id || gotNull != nil || gotPointer == nil || *gotPointer != id || len(gotIDs) != 2 || gotIDs[0] != id || gotIDs[1] != zero {
				t.Errorf("uuids: %v %v %v %v", gotID, gotNull, gotPointer, gotIDs)
			}
			if !gotAt.Equal(at) || gotAt.Location() != time.UTC || gotTimes[0].Location() != time.UTC {
				t.Errorf("times: %v %v", gotAt, gotTimes)
			}
		})
	}
	if err := pool.QueryRow(t.Context(), "select null::uuid").Scan(&id); err == nil {
		t.Error("a null was read as a uuid")
	}
}

func TestConstraintViolationsAreDistinguishedByName(t *testing.T) {
	pool := pgtest.New(t, none, "m")
	mustExec(t, pool, `create table parent (id int constraint parent_pkey primary key);
		create table child (parent_id int constraint child_parent_fkey references parent);
		insert into parent values (1)`)
	for _, test := range []struct {
		sql, constraint string
		is              func(error, string) bool
	}{
		{"insert into parent values (1)", "parent_pkey", pg.IsUnique},
		{"insert into child values (7)", "child_parent_fkey", pg.IsForeignKey},
	} {
		_, err := pool.Exec(t.Context(), test.sql)
		err = fmt.Errorf("wrapped: %w", err)
		if !test.is(err, test.constraint) {
			t.Errorf("%s is not seen as a violation of %s: %v", test.sql, test.constraint, err)
		}
		if test.is(err, "another") || test.is(nil, test.constraint) || pg.Unavailable(err) {
			t.Errorf("%s is taken for something else", test.sql)
		}
	}
}

func TestConcurrentMigratesApplyEachMigrationOnce(t *testing.T) {
	url := pgtest.NewURL(t, none, "m")
	files := fstest.MapFS{
		"m/00001_none.sql":  none["m/00001_none.sql"],
		"m/00002_table.sql": {Data: []byte("-- +goose Up\ncreate table applied (n int);\n")},
		// Slow enough that all run at the same time, and slower than the statement limit.
		"m/00003_row.sql": {Data: []byte("-- +goose Up\nselect pg_sleep(0.3);\ninsert into applied values (1);\n")},
	}
	var output lockedBuffer
	log := slog.New(slog.NewTextHandler(&output, nil))
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			pool := open(t, url, pg.Config{MaxConns: 1, StatementTimeout: 100 * time.Millisecond})
			if err := pg.Migrate(t.Context(), pool, files, "m", log); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	pool := open(t, url, pg.Config{})
	var n int
	if err := pool.QueryRow(t.Context(), "select count(*) from applied").Scan(&n); err != nil || n != 1 {
		t.Errorf("applied %d times (%v)", n, err)
	}
	if n := strings.Count(output.String(), "migration applied"); n != 2 {
		t.Errorf("%d log lines for 2 new migrations:\n%s", n, output.String())
	}
}

func TestFailedMigrationIsNamedAndRolledBack(t *testing.T) {
	pool := pgtest.New(t, none, "m")
	files := fstest.MapFS{
		"m/00001_none.sql": none["m/00001_none.sql"],
		"m/00002_bad.sql":  {Data: []byte("-- +goose Up\ncreate table half (n int);\nselect 1/0;\n")},
	}
	err := pg.Migrate(t.Context(), pool, files, "m", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "00002_bad.sql") {
		t.Errorf("got %v", err)
	}
	if _, err := pool.Exec(t.Context(), "select * from half"); err == nil {
		t.Error("the first half stayed")
	}
}

func TestRetrySucceedsWhenTheConflictIsOver(t *testing.T) {
	pool := pgtest.New(t, none, "m")
	mustExec(t, pool, "create table counter (n int); insert into counter values (0)")
	var tries atomic.Int32
	increment := func(retry func(func() error) error) error {
		return retry(func() error {
			tries.Add(1)
			return pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
				var n int
				if err := tx.QueryRow(t.Context(), "select n from counter").Scan(&n); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), "update counter set n = $1", n+1)
				return err
			})
		})
	}
	lost := func(retry func(func() error) error) int {
		var failed atomic.Int32
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for range 5 {
					if increment(retry) != nil {
						failed.Add(1)
					}
				}
			})
		}
		wait.Wait()
		return int(failed.Load())
	}
	if !trials.Shows(20, func() bool { return lost(func(f func() error) error { return f() }) > 0 }) {
		t.Error("control: nothing was lost without Retry, so this shows nothing")
	}
	if n := lost(func(f func() error) error { return pg.Retry(t.Context(), f) }); n != 0 {
		t.Errorf("%d of 40 transactions were lost", n)
	}
}

func TestRetryIsBoundedAndOtherErrorsAreNotRetried(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	other := errors.New("other")
	for name, test := range map[string]struct {
		ctx   context.Context
		err   error
		tries int
	}{
		"success":        {t.Context(), nil, 1},
		"another error":  {t.Context(), other, 1},
		"never won":      {t.Context(), fmt.Errorf("assign: %w", pg.ErrRetry), 10},
		"client is gone": {canceled, pg.ErrRetry, 1},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			err := pg.Retry(test.ctx, func() error { tries++; return test.err })
			if tries != test.tries || !errors.Is(err, test.err) {
				t.Errorf("%d tries and %v, want %d and %v", tries, err, test.tries, test.err)
			}
		})
	}
}

// lockedBuffer may be written by several goroutines.
type lockedBuffer struct {
	sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.Lock()
	defer b.Unlock()
	return b.buffer.String()
}

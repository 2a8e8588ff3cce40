package pg_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

// slowRows makes a table where the deletion of each row takes 25 ms, and returns a
// pool whose statements may take 500 ms.
func slowRows(t *testing.T, rows int) *pgxpool.Pool {
	t.Helper()
	url := pgtest.NewURL(t, none, "m")
	pool := open(t, url, pg.Config{StatementTimeout: time.Minute})
	mustExec(t, pool, `create table old (id int primary key)`)
	mustExec(t, pool, `create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.025); return old; end $$`)
	mustExec(t, pool, `create trigger slow before delete on old for each row execute function slow()`)
	mustExec(t, pool, `insert into old select generate_series(1, $1)`, rows)
	return open(t, url, pg.Config{StatementTimeout: 500 * time.Millisecond})
}

func deleteOld(pool *pgxpool.Pool) func(context.Context, int32) (int64, error) {
	return func(ctx context.Context, limit int32) (int64, error) {
		tag, err := pool.Exec(ctx, "delete from old where id in (select id from old order by id limit $1)", limit)
		return tag.RowsAffected(), err
	}
}

func TestPurgeTakesSmallerBatchesWhereTheStatementTimeoutIsTooShort(t *testing.T) {
	pool := slowRows(t, 40)
	if _, err := deleteOld(pool)(t.Context(), 40); err == nil {
		t.Fatal("control: the whole batch fits the timeout, so this shows nothing")
	}
	var sizes []int32
	purge := pg.Purge{Max: 40, Delete: func(ctx context.Context, limit int32) (int64, error) {
		sizes = append(sizes, limit)
		return deleteOld(pool)(ctx, limit)
	}}
	deleted, err := purge.Run(t.Context())
	if err != nil || deleted != 40 {
		t.Fatalf("deleted %d of 40 in batches of %v: %v", deleted, sizes, err)
	}
	if sizes[0] != 40 || sizes[1] != 20 {
		t.Errorf("batches of %v, want 40 first and half of it next", sizes)
	}
}

func TestPurgeGrowsAgainAfterBatchesThatFit(t *testing.T) {
	var sizes []int32
	left, slow := int64(100), true
	purge := pg.Purge{Max: 32, Delete: func(_ context.Context, limit int32) (int64, error) {
		sizes = append(sizes, limit)
		if slow && limit > 8 {
			return 0, timeoutError(t)
		}
		slow = false
		n := min(left, int64(limit))
		left -= n
		return n, nil
	}}
	if n, err := purge.Run(t.Context()); n != 100 || err != nil {
		t.Fatalf("deleted %d: %v", n, err)
	}
	want := []int32{32, 16, 8, 16, 32, 32, 32}
	for i := range want {
		if i >= len(sizes) || sizes[i] != want[i] {
			t.Fatalf("batches of %v, want %v", sizes, want)
		}
	}
}

// timeoutError is PostgreSQL's error when the statement timeout ends a statement.
func timeoutError(t *testing.T) error {
	t.Helper()
	pool := pgtest.New(t, none, "m")
	_, err := pool.Exec(t.Context(), "set local statement_timeout = 1; select pg_sleep(10)", pgx.QueryExecModeSimpleProtocol)
	return err
}

func TestPurgeFailsWhenASingleRowDoesNotFitOrItsContextEnds(t *testing.T) {
	late := timeoutError(t)
	tries := 0
	purge := pg.Purge{Max: 8, Delete: func(context.Context, int32) (int64, error) { tries++; return 0, late }}
	if _, err := purge.Run(t.Context()); !errors.Is(err, late) || tries != 4 {
		t.Errorf("%d tries (8, 4, 2, 1 expected): %v", tries, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	tries = 0
	purge = pg.Purge{Max: 8, Delete: purge.Delete}
	if _, err := purge.Run(canceled); err == nil || tries != 1 {
		t.Errorf("%d tries after the caller left: %v", tries, err)
	}
}

func TestExclusiveRunsOneSessionAtATimeBeyondTheIdleTimeout(t *testing.T) {
	url := pgtest.NewURL(t, none, "m")
	// Two pools are two replicas.
	first := open(t, url, pg.Config{IdleInTransactionTimeout: 50 * time.Millisecond})
	second := open(t, url, pg.Config{})
	entered, release := make(chan struct{}), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		ran, err := pg.Exclusive(first)(t.Context(), "purge", func(context.Context) error {
			close(entered)
			<-release
			return nil
		})
		if !ran || err != nil {
			t.Errorf("the first one: %t, %v", ran, err)
		}
	})
	<-entered
	never := func(context.Context) error { t.Error("two ran at the same time"); return nil }
	for deadline := time.Now().Add(200 * time.Millisecond); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ran, err := pg.Exclusive(second)(t.Context(), "purge", never); ran || err != nil {
			t.Fatalf("the second one: %t, %v", ran, err)
		}
	}
	nothing := func(context.Context) error { return nil }
	if ran, err := pg.Exclusive(second)(t.Context(), "another job", nothing); !ran || err != nil {
		t.Errorf("another job: %t, %v", ran, err)
	}
	close(release)
	wait.Wait()
	if ran, err := pg.Exclusive(second)(t.Context(), "purge", nothing); !ran || err != nil {
		t.Errorf("control: afterwards: %t, %v", ran, err)
	}
	if ran, err := pg.Exclusive(second)(t.Context(), "purge", func(context.Context) error { return errors.New("failed") }); !ran || err == nil {
		t.Errorf("a failing run: %t, %v", ran, err)
	}
}

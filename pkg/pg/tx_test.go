package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func newTickets(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t, none, "m")
	mustExec(t, pool, "create table tickets (id int primary key, status text not null)")
	mustExec(t, pool, "insert into tickets values (1, 'open')")
	return pool
}

func statusOf(t *testing.T, pool *pgxpool.Pool) (status string) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "select status from tickets where id = 1").Scan(&status); err != nil {
		t.Fatal(err)
	}
	return status
}

func set(ctx context.Context, db pg.DBTX, status any) error {
	_, err := db.Exec(ctx, "update tickets set status = $1 where id = 1", status)
	return err
}

func TestTransactionCommitsWhatWaitedForTheCommit(t *testing.T) {
	t.Parallel()
	pool := newTickets(t)
	err := pg.InTx(t.Context(), pool, func(tx *pg.Tx) error {
		if err := set(t.Context(), tx.Later(), "closed"); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), "insert into tickets values (2, 'open')"); err != nil {
			return err
		}
		return set(t.Context(), tx.Later(), "blocked")
	})
	if got := statusOf(t, pool); err != nil || got != "blocked" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestQueryOfATransactionSeesWhatWaited(t *testing.T) {
	t.Parallel()
	pool := newTickets(t)
	err := pg.InTx(t.Context(), pool, func(tx *pg.Tx) error {
		var one, many string
		_ = set(t.Context(), tx.Later(), "closed")
		if err := tx.QueryRow(t.Context(), "select status from tickets").Scan(&one); err != nil {
			return err
		}
		_ = set(t.Context(), tx.Later(), "blocked")
		rows, err := tx.Query(t.Context(), "select status from tickets")
		if err != nil {
			return err
		}
		if many, err = pgx.CollectOneRow(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		if one != "closed" || many != "blocked" {
			t.Errorf("%q and %q", one, many)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTransactionRollsBack(t *testing.T) {
	t.Parallel()
	pool, refused := newTickets(t), errors.New("refused")
	for name, f := range map[string]func(tx *pg.Tx) error{
		"an error":           func(tx *pg.Tx) error { return errors.Join(set(t.Context(), tx, "closed"), refused) },
		"an error before":    func(tx *pg.Tx) error { return errors.Join(set(t.Context(), tx.Later(), "closed"), refused) },
		"a failed statement": func(tx *pg.Tx) error { return errors.Join(set(t.Context(), tx, "closed"), set(t.Context(), tx, nil)) },
		"one that waited": func(tx *pg.Tx) error {
			return errors.Join(set(t.Context(), tx, "closed"), set(t.Context(), tx.Later(), nil))
		},
		"one before another": func(tx *pg.Tx) error {
			return errors.Join(set(t.Context(), tx.Later(), nil), set(t.Context(), tx, "closed"))
		},
		"one of several": func(tx *pg.Tx) error {
			return errors.Join(set(t.Context(), tx.Later(), nil), set(t.Context(), tx.Later(), "closed"))
		},
		"a query, which waits": func(tx *pg.Tx) error {
			rows, err := tx.Later().Query(t.Context(), "select 1")
			if err == nil {
				rows.Close()
			}
			return err
		},
	} {
		if err := pg.InTx(t.Context(), pool, f); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := statusOf(t, pool); got != "open" {
			t.Errorf("%s: %q was committed", name, got)
		}
	}
	for _, conn := range pool.AcquireAllIdle(t.Context()) {
		if status := conn.Conn().PgConn().TxStatus(); status != 'I' {
			t.Errorf("a connection is left in the transaction status %c", status)
		}
		conn.Release()
	}
	if err := pg.InTx(t.Context(), pool, func(tx *pg.Tx) error { return set(t.Context(), tx, "closed") }); err != nil || statusOf(t, pool) != "closed" {
		t.Errorf("the control is not committed: %v", err)
	}
}

func TestPanicRollsBack(t *testing.T) {
	t.Parallel()
	pool := newTickets(t)
	func() {
		defer func() { _ = recover() }()
		_ = pg.InTx(t.Context(), pool, func(tx *pg.Tx) error {
			_ = set(t.Context(), tx, "closed")
			panic("a defect")
		})
	}()
	if got := statusOf(t, pool); got != "open" {
		t.Errorf("%q was committed", got)
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections still in use", n)
	}
}

// The read before the lock is the control: it sees what was committed when it began.
func TestReadTogetherWithALockSeesWhatWasCommittedMeanwhile(t *testing.T) {
	t.Parallel()
	pool := newTickets(t)
	holds, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer holds.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // after a failure alone
	if err := set(t.Context(), holds, "closed"); err != nil {
		t.Fatal(err)
	}
	var before, after string
	var id int
	done := make(chan error, 1)
	go func() {
		done <- pg.InTx(t.Context(), pool, func(tx *pg.Tx) error {
			const read = "select status from tickets where id = 1"
			return tx.Together(t.Context(),
				func(db pg.DBTX) error { return db.QueryRow(t.Context(), read).Scan(&before) },
				func(db pg.DBTX) error {
					return db.QueryRow(t.Context(), "select id from tickets where id = 1 for no key update").Scan(&id)
				},
				func(db pg.DBTX) error { return db.QueryRow(t.Context(), read).Scan(&after) },
			)
		})
	}()
	const waiting = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
	for waits, deadline := false, time.Now().Add(4*time.Minute); !waits; {
		if time.Now().After(deadline) {
			t.Fatal("the transaction does not wait for the lock")
		}
		if err := pool.QueryRow(t.Context(), waiting).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := holds.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || before != "open" || after != "closed" || id != 1 {
		t.Errorf("%q, %q, %d, %v", before, after, id, err)
	}
}

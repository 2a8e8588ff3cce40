package app_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The statements at which a barrier can hold the service.
const (
	barrierInsert = 1 // stores a mail
	barrierRead   = 2 // stores what a mail says
)

// barriers makes these statements wait, within their transaction, for an advisory lock.
const barriers = `
create function wait_at_barrier() returns trigger language plpgsql set lock_timeout = 0 as $$
begin
    perform pg_advisory_xact_lock_shared(7411, tg_argv[0]::integer);
    return new;
end $$;
create trigger barrier_insert before insert on inbound_mails for each row execute function wait_at_barrier(1);
create trigger barrier_read before update of content on inbound_mails for each row execute function wait_at_barrier(2);`

// barrier holds statements of the service while it blocks them, so that a test can kill the
// service at a known point of a transaction.
type barrier struct {
	t    testing.TB
	conn *pgx.Conn
}

func newBarrier(t testing.TB, url string) *barrier {
	t.Helper()
	execute(t, url, barriers)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &barrier{t, conn}
}

func (b *barrier) execute(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.conn.Exec(context.Background(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *barrier) block(statement int) {
	b.t.Helper()
	b.execute("select pg_advisory_lock(7411, $1)", statement)
}

// reached waits until a statement is held.
func (b *barrier) reached() {
	b.t.Helper()
	eventually(b.t, "a statement is held at the barrier", func() bool {
		held := false
		err := b.conn.QueryRow(context.Background(), "select exists (select 1 "+heldStatements+")").Scan(&held)
		return err == nil && held
	})
}

const heldStatements = `from pg_locks where locktype = 'advisory' and classid = 7411 and not granted
	and database = (select oid from pg_database where datname = current_database())`

// release lets the statements go on. Those of a killed service commit, since it has sent
// all of them.
func (b *barrier) release() {
	b.t.Helper()
	b.execute("select pg_advisory_unlock_all()")
}

// fail has what is held fail and then releases the others.
func (b *barrier) fail() {
	b.t.Helper()
	b.execute("select pg_terminate_backend(pid, 60000) " + heldStatements)
	b.release()
}

package app_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The statements at which a gate can hold the service.
const (
	gateInsert = 1 // stores a mail
	gateRead   = 2 // stores what a mail says
)

// gates makes these statements wait, within their transaction, for an advisory lock.
const gates = `
create function wait_at_gate() returns trigger language plpgsql set lock_timeout = 0 as $$
begin
    perform pg_advisory_xact_lock_shared(7411, tg_argv[0]::integer);
    return new;
end $$;
create trigger gate_insert before insert on inbound_mails for each row execute function wait_at_gate(1);
create trigger gate_read before update of content on inbound_mails for each row execute function wait_at_gate(2);`

// gate holds statements of the service while it is shut, so that a test can kill the
// service at a known point of a transaction.
type gate struct {
	t    testing.TB
	conn *pgx.Conn
}

func newGate(t testing.TB, url string) *gate {
	t.Helper()
	execute(t, url, gates)
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &gate{t, conn}
}

func (g *gate) execute(sql string, args ...any) {
	g.t.Helper()
	if _, err := g.conn.Exec(context.Background(), sql, args...); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gate) shut(statement int) {
	g.t.Helper()
	g.execute("select pg_advisory_lock(7411, $1)", statement)
}

// reached waits until a statement is held.
func (g *gate) reached() {
	g.t.Helper()
	eventually(g.t, "a statement is held at the gate", func() bool {
		held := false
		err := g.conn.QueryRow(context.Background(), "select exists (select 1 "+heldStatements+")").Scan(&held)
		return err == nil && held
	})
}

const heldStatements = `from pg_locks where locktype = 'advisory' and classid = 7411 and not granted
	and database = (select oid from pg_database where datname = current_database())`

// open lets the statements go on. Those of a killed service commit, since it has sent
// all of them.
func (g *gate) open() {
	g.t.Helper()
	g.execute("select pg_advisory_unlock_all()")
}

// abandon has what is held fail and then opens the gate.
func (g *gate) abandon() {
	g.t.Helper()
	g.execute("select pg_terminate_backend(pid, 60000) " + heldStatements)
	g.open()
}

package ticket

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plans is how often a connection has planned a statement that begins with text.
func plans(t *testing.T, conn *pgxpool.Conn, text string) int {
	t.Helper()
	rows, err := conn.Query(t.Context(), "select statement, generic_plans + custom_plans from pg_prepared_statements")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	var statement string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&statement, &n}, func() error {
		if strings.HasPrefix(statement, text) {
			total += n
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func TestWarmPlansTheCreationLocksNothingAndTakesNoNumber(t *testing.T) {
	t.Parallel()
	d := newTestEnv(t)
	customer, engineer := d.User("customer"), d.Engineer()
	conn, err := d.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if n := plans(t, conn, "-- name: TicketCreate "); n != 0 {
		t.Fatalf("control: a new connection has planned the creation %d times", n)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := Warm(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	for table, id := range map[string]any{"engineers": engineer.ID, "users": customer.ID} {
		column := map[string]string{"engineers": "user_id", "users": "id"}[table]
		if _, err := d.Pool.Exec(t.Context(), "select from "+table+" where "+column+" = $1 for no key update nowait", id); err != nil {
			t.Errorf("a row of %s is locked: %v", table, err)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := plans(t, conn, "-- name: TicketCreate "); n == 0 {
		t.Error("the creation has not been planned")
	}
	if ticket := d.Raise(customer, "first", "text"); ticket.Number != 1 {
		t.Errorf("the first ticket has number %d", ticket.Number)
	}
}

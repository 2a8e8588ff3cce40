package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/pkg/dev/pgtest"
)

func TestMostReadCountsEveryLoopAndWhatIsDropped(t *testing.T) {
	for line, want := range map[string]int{
		"  ->  Index Scan using a on t  (cost=0.29..8.31 rows=1 width=179) (actual rows=30000 loops=1)": 30000,
		"  ->  Index Scan using a on t  (cost=0.29..8.31 rows=1 width=179) (actual rows=2 loops=30000)": 60000,
		"  ->  Sort  (cost=0.29..8.31 rows=1 width=179) (actual rows=500 loops=1)":                      0,
	} {
		if n := pgtest.MostRead([]string{line}); n != want {
			t.Errorf("%d, want %d: %s", n, want, line)
		}
	}
	for _, dropped := range []string{"  Rows Removed by Filter: 500", "  Rows Removed by Index Recheck: 500"} {
		plan := []string{"  ->  Index Scan Backward using a on t  (cost=0.29..8.31 rows=1 width=179) (actual rows=10 loops=2)", dropped}
		if n := pgtest.MostRead(plan); n != 1020 {
			t.Errorf("%d, want 1020: %s", n, dropped)
		}
	}
}

func TestPlansOfExplainsEachQuery(t *testing.T) {
	pool := pgtest.New(t, migrations("body"), "some/migrations")
	if _, err := pool.Exec(t.Context(), "insert into note select n from generate_series(1, 700) n"); err != nil {
		t.Fatal(err)
	}
	plans := pgtest.PlansOf(t, pool, func(p *pgxpool.Pool) {
		var n int
		for _, sql := range []string{"-- name: Few\nselect count(*) from note where body = $1", "with all_notes as (select from note where body <> $1) select count(*) from all_notes"} {
			if err := p.QueryRow(t.Context(), sql, "1").Scan(&n); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Exec(t.Context(), "set work_mem = '5MB'"); err != nil {
			t.Fatal(err)
		}
	})
	if len(plans) != 2 {
		t.Fatalf("%d plans", len(plans))
	}
	for _, plan := range plans {
		if n := pgtest.MostRead(plan); n != 700 {
			t.Errorf("%d rows are read, want 700: %q", n, plan)
		}
	}
}

package pgtest

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	scanned = regexp.MustCompile(`Scan.*\(actual rows=(\d+) loops=(\d+)\)`)
	removed = regexp.MustCompile(`Rows Removed by (?:Filter|Index Recheck): (\d+)`)
)

// MostRead returns the rows that the largest scan of an executed plan reads: those
// it returns, in all loops, and those it looks at and drops.
func MostRead(plan []string) (most int) {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n }
	rows, loops := 0, 0
	for _, line := range plan {
		if m := scanned.FindStringSubmatch(line); m != nil {
			loops = number(m[2])
			rows = number(m[1]) * loops
		} else if m := removed.FindStringSubmatch(line); m != nil {
			rows += number(m[1]) * loops
		}
		most = max(most, rows)
	}
	return most
}

// Explain executes a statement and returns the lines of its plan.
func Explain(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), "explain (analyze, timing off) "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// recorder keeps the queries that a pool runs.
type recorder struct {
	mu      sync.Mutex
	queries []pgx.TraceQueryStartData
}

// TraceQueryStart is called by pgx.
func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := strings.TrimLeft(comment.ReplaceAllString(q.SQL, ""), " \n"); strings.HasPrefix(text, "select") || strings.HasPrefix(text, "with") {
		r.queries = append(r.queries, q)
	}
	return ctx
}

var comment = regexp.MustCompile(`(?m)^--.*$`)

// TraceQueryEnd is called by pgx.
func (r *recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// PlansOf returns the executed plan of each query that do sends to the pool it is
// given, which is on the same database as pool.
func PlansOf(t testing.TB, pool *pgxpool.Pool, do func(*pgxpool.Pool)) (plans [][]string) {
	t.Helper()
	r := &recorder{}
	config := pool.Config()
	config.ConnConfig.Tracer = r
	recorded, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	do(recorded)
	recorded.Close()
	for _, q := range r.queries {
		plans = append(plans, Explain(t, pool, q.SQL, q.Args...))
	}
	return plans
}

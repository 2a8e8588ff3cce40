package ticketlist

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/dev/trials"
	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// fill writes n tickets of 200 reporters and 20 engineers, of which 6 in 100 are
// active. Each second one has the word printer, ten have each word rare…, and each
// tenth has a comment.
func (d *testEnv) fill(n int) {
	d.Helper()
	ctx := context.Background()
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Release()
	indexes := crmtest.List[string](d.Env, `select indexdef from pg_indexes where tablename in ('tickets', 'ticket_comments', 'ticket_search') and indexname not like '%key' and indexname not like '%\_folding'`)
	for _, name := range crmtest.List[string](d.Env, `select indexname from pg_indexes where tablename in ('tickets', 'ticket_comments', 'ticket_search') and indexname not like '%key' and indexname not like '%\_folding'`) {
		d.Exec(`drop index ` + name)
	}
	for _, sql := range slices.Concat([]string{
		`set statement_timeout = 0`,
		`set session_replication_role = replica`,
		`insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
			select ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 'Person ' || n, 'p' || n || '@example.com', '', 'x',
				case when n <= 200 then 'customer' else 'engineer' end::user_role, 'approved', now(), now() from generate_series(1, 220) n`,
		`insert into tickets (id, title, description, status, priority, reporter_id, assignee_id, resolution, created_at, updated_at, accepted_at, resolved_at, closed_at)
			select gen_random_uuid(), title, description,
				status, (array['low', 'normal', 'normal', 'high', 'urgent'])[1 + n * 6271 % 8887 % 5]::ticket_priority,
				('00000000-0000-0000-0001-' || lpad((1 + n % 200)::text, 12, '0'))::uuid,
				case when n % 50 > 0 then ('00000000-0000-0000-0001-' || lpad((201 + n / 100 % 20)::text, 12, '0'))::uuid end,
				'Done', at, at + interval '1 minute' * (n % 1000), at, at, case when status = 'closed' then at end
			from (select n, now() - (` + strconv.Itoa(n) + ` - n) * interval '1 second' as at,
				'Ticket ' || n || case when n % 2 = 0 then ' about a printer' else ' about a screen' end as title,
				concat_ws(' ', 'It word' || n * 31 % 5003, 'smells of word' || n * 17 % 499, 'rare' || n % (` + strconv.Itoa(n) + ` / 10)) as description,
				case when n * 7919 % 100 < 3 then 'open' when n * 7919 % 100 < 5 then 'in_progress' when n * 7919 % 100 < 6 then 'blocked'
					when n * 7919 % 100 < 12 then 'resolved' else 'closed' end::ticket_status as status
				from generate_series(1, ` + strconv.Itoa(n) + `) n) t`,
		`insert into ticket_search (ticket_id, search, folding)
			select id, setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', description), 'B'), 1 from tickets`,
		`insert into ticket_comments (id, ticket_id, author_id, body, search, internal, created_at)
			select gen_random_uuid(), id, reporter_id, 'Still', to_tsvector('simple', 'still word' || number % 499 || ' talk' || number % 1000), number % 20 = 0, created_at from tickets where number % 10 = 0`,
		`insert into ticket_counts select status, priority, assignee_id, count(*) from tickets group by 1, 2, 3`,
	}, indexes, []string{`set session_replication_role = origin`, `vacuum analyze`, `reset statement_timeout`}) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			d.Fatal(err)
		}
	}
}

// variants are the most frequent lists.
func variants() (names []string, filters map[string]Filter) {
	yes, engineer, customer := true, uuid.MustParse("00000000-0000-0000-0001-000000000205"), uuid.MustParse("00000000-0000-0000-0001-000000000007")
	since := time.Now().Add(-time.Hour)
	filters = map[string]Filter{}
	for _, v := range []struct {
		name string
		Filter
	}{
		{"first page", Filter{}}, {"status=open", Filter{Statuses: []ticket.Status{ticket.Open}}}, {"status=blocked,resolved", Filter{Statuses: []ticket.Status{ticket.Blocked, ticket.Resolved}}}, {"active=true", Filter{Active: &yes}},
		{"priority=urgent", Filter{Priorities: []ticket.Priority{ticket.Urgent}}}, {"assignee", Filter{Assignee: &engineer}}, {"assignee, active", Filter{Assignee: &engineer, Active: &yes}},
		{"assignee=none, active", Filter{NoAssignee: true, Active: &yes}}, {"reporter", Filter{Reporter: &customer}}, {"reporter, open", Filter{Reporter: &customer, Statuses: []ticket.Status{ticket.Open}}},
		{"created_after", Filter{CreatedAfter: &since}}, {"q rare", Filter{Query: "rare77"}}, {"q number", Filter{Query: "#4711"}}, {"q number or word", Filter{Query: "4711"}},
		{"q common", Filter{Query: "printer"}}, {"q common prefix", Filter{Query: "wor"}}, {"q two words", Filter{Query: "printer rare77"}}, {"q in comments", Filter{Query: "talk55"}},
		{"q common, active", Filter{Query: "printer", Active: &yes}}, {"q nowhere", Filter{Query: "zebra"}},
	} {
		names = append(names, v.name)
		filters[v.name] = v.Filter
	}
	return names, filters
}

var (
	asAdmin    = ticket.Viewer{ID: uuid.MustParse("00000000-0000-0000-0001-000000000201"), Role: "admin"}
	asCustomer = ticket.Viewer{ID: uuid.MustParse("00000000-0000-0000-0001-000000000007"), Role: "customer"}
)

func TestListsAndSearchesOfManyTicketsReadFew(t *testing.T) {
	trials.Long(t)
	t.Parallel()
	d := newTestEnv(t)
	start := time.Now()
	d.fill(planTickets)
	t.Logf("filled in %s", time.Since(start).Round(time.Millisecond))
	t.Run("lists", func(t *testing.T) { testListsReadFew(t, d) })
	t.Run("other times", func(t *testing.T) { testListOfOtherTimesKeepsItsPlan(t, d) })
	t.Run("a search of a reporter with many tickets", func(t *testing.T) { testSearchOfAReporterReadsFew(t, d) })
}

func testListsReadFew(t *testing.T, d *testEnv) {
	names, filters := variants()
	for _, name := range names {
		for _, v := range []ticket.Viewer{asAdmin, asCustomer} {
			for _, by := range []Sort{{ByCreated, true}, {ByCreated, false}, {ByUpdated, true}, {ByPriority, true}} {
				if slow := d.plan(v, filters[name], by, nil); slow != "" {
					t.Errorf("%s for %s by %+v reads all tickets:\n%s", name, v.Role, by, slow)
				}
			}
			if filters[name].Query != "" {
				if slow := d.plan(v, filters[name], Sort{ByRelevance, true}, nil); slow != "" {
					t.Errorf("%s for %s by relevance reads all tickets:\n%s", name, v.Role, slow)
				}
			}
		}
	}
	for _, name := range names {
		for _, v := range []ticket.Viewer{asAdmin, asCustomer} {
			b := newStatement(v, filters[name])
			if slow := d.planOf(b.counts(), b.args); slow != "" {
				t.Errorf("totals of %s for %s read all tickets:\n%s", name, v.Role, slow)
			}
		}
	}
	// The controls.
	b := newStatement(asAdmin, Filter{})
	b.comments = true
	sql, err := b.page(Sort{ByCreated, true}, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := lastCommentsRead(pgtest.Explain(t, d.Pool, sql, b.args...)); n != 1000 {
		t.Errorf("%d last comments of a page of 1,000 are counted: the test can't fail", n)
	}
	index := crmtest.Get[string](d.Env, `select indexdef from pg_indexes where indexname = 'tickets_created_at'`)
	d.Exec(`drop index tickets_created_at`)
	if d.plan(asAdmin, Filter{}, Sort{ByCreated, true}, nil) == "" {
		t.Error("without the index the plan reads no table: the test can't fail")
	}
	d.Exec(index)
}

// plan returns the plan of a page if it reads all tickets, else an empty text.
func (d *testEnv) plan(v ticket.Viewer, f Filter, by Sort, from *Mark) string {
	d.Helper()
	b := newList(v, f, by)
	sql, err := b.page(b.order(by), 21, from)
	if err != nil {
		d.Fatal(err)
	}
	lines := pgtest.Explain(d.TB, d.Pool, sql, b.args...)
	if n := lastCommentsRead(lines); readsAll(lines) || n > 21 {
		return fmt.Sprintf("%s\n%d last comments are read", strings.Join(lines, "\n"), n)
	}
	return ""
}

// lastCommentLoops finds how often an executed plan looks for the last comment of a
// ticket: nothing else reads that index backward.
var lastCommentLoops = regexp.MustCompile(`Index Scan Backward using ticket_comments_ticket .*loops=(\d+)`)

func lastCommentsRead(plan []string) int {
	for _, line := range plan {
		if m := lastCommentLoops.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			return n
		}
	}
	return 0
}

// planOf gives the plan of a statement if that reads all tickets, else nothing.
func (d *testEnv) planOf(sql string, args []any) string {
	d.Helper()
	if lines := pgtest.Explain(d.TB, d.Pool, sql, args...); readsAll(lines) {
		return strings.Join(lines, "\n")
	}
	return ""
}

// planTickets is how many tickets the plans are tried on.
const planTickets = 30_000

// readsAll reports whether a node of an executed plan reads more than half as many
// rows as there are tickets, by any kind of scan.
func readsAll(plan []string) bool { return pgtest.MostRead(plan) > planTickets/2 }

// testListOfOtherTimesKeepsItsPlan is about the pages after the first, and about lists
// since some time. A statement that shows the planner its time is the control: all tickets
// are later, which is cheaper than the third of them that a plan for any time expects.
func testListOfOtherTimesKeepsItsPlan(t *testing.T, d *testEnv) {
	since := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	from := &Mark{Value: since.Format(markTime), ID: uuid.Max}
	anew := false
	for _, by := range []Sort{{ByCreated, false}, {ByUpdated, false}} {
		f := Filter{Statuses: []ticket.Status{ticket.Open}, CreatedAfter: &since}
		if by.Key == ByUpdated {
			f.CreatedAfter, f.UpdatedAfter = nil, &since
		}
		if !d.keepsPlan(newList(asAdmin, f, by), by, nil) || !d.keepsPlan(newList(asAdmin, Filter{}, by), by, from) {
			t.Errorf("a list by %s is planned anew each time", by.Key)
		}
		anew = anew || !d.keepsPlan(newStatement(asAdmin, f), by, nil)
	}
	if !anew {
		t.Error("statements that show the planner their time keep their plans: the test can't fail")
	}
}

// keepsPlan reports whether PostgreSQL, which plans the first executions of a statement
// for their values, executes later ones by one plan.
func (d *testEnv) keepsPlan(b *statement, by Sort, from *Mark) (kept bool) {
	d.Helper()
	ctx := context.Background()
	sql, err := b.page(by, 21, from)
	if err != nil {
		d.Fatal(err)
	}
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Release()
	const name = "keeps_plan"
	if _, err := conn.Conn().Prepare(ctx, name, sql); err != nil {
		d.Fatal(err)
	}
	for range 10 {
		if _, err := conn.Exec(ctx, name, b.args...); err != nil {
			d.Fatal(err)
		}
	}
	if err := conn.QueryRow(ctx, "select generic_plans > 0 from pg_prepared_statements where name = $1", name).Scan(&kept); err != nil {
		d.Fatal(err)
	}
	if err := conn.Conn().Deallocate(ctx, name); err != nil {
		d.Fatal(err)
	}
	return kept
}

// testSearchOfAReporterReadsFew is about a reporter of 7,500 tickets, which are
// too many to be looked through for a rare word.
func testSearchOfAReporterReadsFew(t *testing.T, d *testEnv) {
	busy := asCustomer.ID
	d.Exec(`update tickets set reporter_id = $1 where number % 4 = 0`, busy)
	d.Eventually("all of it is visible, without which an index is not read alone", func() bool {
		d.Exec(`vacuum analyze tickets`) // an analyze of autovacuum's holds it up
		return crmtest.Get[bool](d.Env, `select relallvisible >= relpages from pg_class where oid = 'tickets'::regclass`)
	})
	for _, query := range []string{"rare76", "talk40", "printer", "printer rare76", "zebra"} {
		for _, v := range []ticket.Viewer{asAdmin, asCustomer} {
			f := Filter{Reporter: &busy, Query: query}
			for _, by := range []Sort{{ByCreated, true}, {ByUpdated, true}} {
				b := newStatement(v, f)
				sql, err := b.page(by, 21, nil)
				if err != nil {
					t.Fatal(err)
				}
				plan := pgtest.Explain(t, d.Pool, sql, b.args...)
				if n := pgtest.MostRead(plan); n > manyTickets+1000 {
					t.Errorf("%q for %s by %s reads %d rows:\n%s", query, v.Role, by.Key, n, strings.Join(plan, "\n"))
				}
				rows, err := d.service.List(context.Background(), v, f, by, 20, nil)
				if err != nil {
					t.Fatal(err)
				}
				var got []uuid.UUID
				for _, r := range rows {
					got = append(got, r.ID)
				}
				want := crmtest.List[uuid.UUID](d.Env, `select t.id from tickets t where t.reporter_id = $1
					and (exists (select from ticket_search s where s.ticket_id = t.id and s.search @@ to_tsquery('simple', $2))
						or exists (select from ticket_comments c where c.ticket_id = t.id and c.search @@ to_tsquery('simple', $2) and (not c.internal or $3)))
					order by t.`+string(by.Key)+` desc, t.id desc limit 20`, busy, prefixes(query), v.Staff())
				if !slices.Equal(got, want) {
					t.Errorf("%q for %s by %s: %d tickets, want %d", query, v.Role, by.Key, len(got), len(want))
				}
			}
		}
	}
	// The control: row by row, the same search reads all tickets of the reporter.
	b := newStatement(asAdmin, Filter{Reporter: &busy, Query: "rare76"})
	byRows := "select t.id from (select * from tickets t where " + b.conditions() + " offset 0) t where " + either(b.matching(byRow))
	if n := pgtest.MostRead(pgtest.Explain(t, d.Pool, byRows, b.args...)); n < planTickets/4 {
		t.Errorf("row by row %d rows are read: the test can't fail", n)
	}
}

package ticketlist

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fixdesk/services/crm/internal/ticket"
)

// statement builds the SQL of a filtered list. The index that serves a list
// depends on its filters and order, so that one statement for all of them would
// use none. Values are always parameters; only constants of this package are
// written into the text.
type statement struct {
	where      []string
	args       []any
	search     string // parameter of the text search; empty for none
	number     string // parameter of the ticket number; empty for none
	internal   bool   // internal comments are searched and shown too
	comments   bool   // the last comment of each ticket is selected
	reported   bool   // the tickets of one reporter or follower are searched
	single     bool   // a condition is about more than status, priority and assignee
	impossible bool   // nothing can match
	// ordered is the time that a list without a search is ordered by; see moment.
	ordered SortKey
}

const joinPersons = `
	join users r on r.id = t.reporter_id
	left join users a on a.id = t.assignee_id`

func (b *statement) arg(value any) string {
	b.args = append(b.args, value)
	return "$" + strconv.Itoa(len(b.args))
}

func (b *statement) and(condition string) { b.where = append(b.where, condition) }

// andSingle adds a condition that only the tickets themselves can meet, not what
// ticket_counts has of them.
func (b *statement) andSingle(condition string) {
	b.and(condition)
	b.single = true
}

// moment is a parameter that is compared with a time. If the list is in the order of that
// time, the planner isn't shown the value: the plan reads the same index from there or
// until there, whatever it is, but each execution would be planned anew, which takes
// twice as long as it.
func (b *statement) moment(of SortKey, value any) string {
	if of != b.ordered {
		return b.arg(value) + "::timestamptz"
	}
	return "(select " + b.arg(value) + "::timestamptz)"
}

func newStatement(v ticket.Viewer, f Filter) *statement { return new(statement).filter(v, f) }

// newList begins the statement of a list that shows the last comments.
func newList(v ticket.Viewer, f Filter, by Sort) *statement {
	b := &statement{comments: true}
	if strings.TrimSpace(f.Query) == "" && (by.Key == ByCreated || by.Key == ByUpdated) {
		b.ordered = by.Key
	}
	return b.filter(v, f)
}

func (b *statement) filter(v ticket.Viewer, f Filter) *statement {
	b.internal, b.reported = v.Staff(), !v.Staff() || f.Reporter != nil || f.Follower != nil
	if !v.Staff() && f.Follower == nil {
		b.andSingle("t.reporter_id = " + b.arg(v.ID))
	}
	if len(f.Statuses) > 0 {
		b.and("t.status in (" + literals(f.Statuses) + ")")
	}
	if f.Active != nil {
		not := ""
		if !*f.Active {
			not = "not "
		}
		b.and("t.status " + not + "in (" + literals(ticket.ActiveStatuses) + ")")
	}
	if len(f.Priorities) > 0 {
		b.and("t.priority in (" + literals(f.Priorities) + ")")
	}
	if f.NoAssignee {
		b.and("t.assignee_id is null")
	}
	if f.Assignee != nil {
		b.and("t.assignee_id = " + b.arg(*f.Assignee))
	}
	if f.Reporter != nil {
		b.andSingle("t.reporter_id = " + b.arg(*f.Reporter))
	}
	if f.Follower != nil {
		b.andSingle("t.id in (select f.ticket_id from ticket_followers f where f.user_id = " + b.arg(*f.Follower) + ")")
	}
	if f.CreatedAfter != nil {
		b.andSingle("t.created_at > " + b.moment(ByCreated, *f.CreatedAfter))
	}
	if f.CreatedBefore != nil {
		b.andSingle("t.created_at < " + b.moment(ByCreated, *f.CreatedBefore))
	}
	if f.UpdatedAfter != nil {
		b.andSingle("t.updated_at > " + b.moment(ByUpdated, *f.UpdatedAfter))
	}
	b.find(f.Query)
	if !v.Staff() && f.Follower != nil && (*f.Follower != v.ID || v.Unverified) {
		b.impossible = true
	}
	return b
}

// literals writes statuses or priorities into the text, so that the planner can
// use a partial index on them. Only this package's constants pass.
func literals[T ticket.Status | ticket.Priority](values []T) string {
	var quoted []string
	for _, v := range values {
		switch string(v) {
		case "open", "in_progress", "blocked", "resolved", "closed", "low", "normal", "high", "urgent":
			quoted = append(quoted, "'"+string(v)+"'")
		default:
			panic("ticketlist: a status or priority that was not validated")
		}
	}
	return strings.Join(quoted, ", ")
}

// find adds the text of a search: #42 is the ticket of that number, 42 that ticket
// or the word. Any other text is words, all of which must match by prefix in the
// ticket, or all in one comment.
func (b *statement) find(query string) {
	query = strings.TrimSpace(query)
	if query == "" {
		return
	}
	digits, hash := strings.CutPrefix(query, "#")
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && n > 0 && strconv.FormatInt(n, 10) == digits {
		b.number = b.arg(n)
		if hash {
			return
		}
	}
	if words := prefixes(query); words != "" {
		b.search = b.arg(words)
	}
	b.impossible = b.search == "" && b.number == ""
}

// conditions joins the filters with more of them.
func (b *statement) conditions(more ...string) string {
	all := append(append([]string{}, b.where...), more...)
	if len(all) == 0 {
		return "true"
	}
	return strings.Join(all, "\n\tand ")
}

// match is how a condition of the search is evaluated.
type match bool

const (
	byIndex match = true  // all matches, from the full-text index
	byRow   match = false // for each ticket that the rest of the statement selects
)

// matching lists the conditions of which a ticket must meet one: by its own
// words, those of one comment, or its number. offset 0 prevents that the planner
// turns a condition by row into one by index: it can't distinguish a rare word
// from a common one, and the wrong plan takes seconds with a million tickets.
func (b *statement) matching(how match) []string {
	var conditions []string
	if b.search != "" {
		text := "s.search @@ to_tsquery('simple', " + b.search + ")"
		comment := "c.search @@ to_tsquery('simple', " + b.search + ")"
		if !b.internal {
			comment += " and not c.internal"
		}
		if how == byIndex {
			conditions = append(conditions,
				"t.id in (select s.ticket_id from ticket_search s where "+text+")",
				"t.id in (select c.ticket_id from ticket_comments c where "+comment+")")
		} else {
			conditions = append(conditions,
				"exists (select from ticket_search s where s.ticket_id = t.id and "+text+" offset 0)",
				"exists (select from ticket_comments c where c.ticket_id = t.id and "+comment+" offset 0)")
		}
	}
	if b.number != "" {
		conditions = append(conditions, "t.number = "+b.number)
	}
	return conditions
}

func either(conditions []string) string { return "(" + strings.Join(conditions, " or ") + ")" }

// order is the order that the list really has: without words nothing is relevant.
func (b *statement) order(by Sort) Sort {
	if by.Key == ByRelevance && b.search == "" {
		return Sort{Key: ByCreated, Descending: true}
	}
	return by
}

// page is the SQL of one page, in an order that b.order returned.
func (b *statement) page(by Sort, limit int, from *Mark) (string, error) {
	if by.Key == ByRelevance {
		return b.ranked(limit, from)
	}
	column, direction, beyond := "t."+string(by.Key), "asc", ">"
	if by.Descending {
		direction, beyond = "desc", "<"
	}
	var after []string
	if from != nil {
		value, err := by.Key.decodeValue(from.Value)
		if err != nil {
			return "", err
		}
		place := ""
		if by.Key == ByPriority {
			place = b.arg(value) + "::text::ticket_priority"
		} else {
			place = b.moment(by.Key, value)
		}
		after = []string{fmt.Sprintf("(%s, t.id) %s (%s, %s)", column, beyond, place, b.arg(from.ID))}
	}
	columns := "select " + ticket.Columns + ", null::text, " + b.lastComment() + "\nfrom "
	order := fmt.Sprintf("\norder by %s %s, t.id %s", column, direction, direction)
	last := order + "\nlimit " + strconv.Itoa(limit)
	switch {
	case b.search != "":
		return "with " + b.found(after, order, lookup{nearby: nearbyPage, enough: limit, limit: limit}) +
			columns + foundTickets + joinPersons + last, nil
	case b.number != "":
		after = append(after, b.matching(byIndex)...)
	}
	return columns + "tickets t" + joinPersons + "\nwhere " + b.conditions(after...) + last, nil
}

// foundTickets are the tickets of what found selects, read by their ids: offset 0
// prevents a plan that reads all tickets in the order of the list.
const foundTickets = `(select id from near union select id from far) found
	cross join lateral (select * from tickets t where t.id = found.id offset 0) t`

// lookup has the bounds of a search.
type lookup struct {
	nearby int // tickets that are searched row by row
	enough int // matches among them without which the index is used
	limit  int // of the matches
}

const (
	nearbyPage    = 1_000 // for a page of a list
	nearbyMatches = 10_000
	rankedMatches = 1_000
	enoughRanked  = 200
	manyTickets   = 5_000 // of a reporter, beyond which a rare word is read from the index
	// A word is rare when fewer than rareMatches of sampledTickets match.
	sampledTickets = 1_000
	rareMatches    = 10
	// countedMatches is how many matches of a search are counted.
	countedMatches = 1_000
)

const newestFirst = "\norder by t.created_at desc, t.id desc"

// found is the SQL of a search that finds the ids of the first matches in the order
// of the list. It searches the beginning of the list row by row, which fills the
// page for a common word. If it doesn't, it reads all matches from the index and
// sorts them. It searches all tickets of one reporter row by row, since they are
// few compared with the index entries of a common word, unless it is rare. The
// tickets of a reporter with few are read by the index on reporters, never in the
// order of the list, in which they lie far apart.
func (b *statement) found(after []string, order string, l lookup) string {
	first := func(n int) string { return order + "\nlimit " + strconv.Itoa(n) }
	unfilled := fmt.Sprintf("(select count(*) from near) < %d", l.enough)
	// offset 0 prevents a plan that reads all tickets in the order of the list.
	far := func(conditions ...string) string {
		all := append(append(slices.Clone(after), unfilled), conditions...)
		return "(select t.id from (select * from tickets t\nwhere " + b.conditions(all...) + "\noffset 0) t" + first(l.limit) + ")"
	}
	var branches []string
	var rare []string
	beginning := "select * from tickets t\nwhere " + b.conditions(after...)
	amount := ""
	if b.reported {
		amount = b.amount()
		rare = []string{"(select rare from amount)"}
		branches = []string{far(either(b.matching(byRow)), "not (select rare from amount)")}
		few := b.conditions(append(slices.Clone(after), "not (select many from amount)")...)
		many := b.conditions(append(slices.Clone(after), "(select many from amount)")...)
		beginning = "select * from ((select * from tickets t\nwhere " + few + "\noffset 0)\n\tunion all (select * from tickets t\nwhere " + many + first(l.nearby) + ")) t"
	}
	for _, condition := range b.matching(byIndex) {
		branches = append(branches, far(append(rare, condition)...))
	}
	return fmt.Sprintf(`%snear as materialized (
	select t.id from (%s%s) t
	where %s%s),
far as materialized (%s)
`, amount, beginning, first(l.nearby), either(b.matching(byRow)), first(l.limit), strings.Join(branches, "\n\tunion all "))
}

// amount is the SQL of whether the filters leave many tickets, and whether the
// search is rare among many: few of the newest tickets of all match it.
func (b *statement) amount() string {
	return fmt.Sprintf(`amount as materialized (
	select many, case when many then (
		select count(*) from (select * from tickets t%[2]s limit %[3]d) t where %[4]s) < %[5]d else false end as rare
	from (select count(*) = %[6]d as many from (select from tickets t where %[1]s limit %[6]d) t) t),
`, b.conditions(), newestFirst, sampledTickets, either(b.matching(byRow)), rareMatches, manyTickets)
}

// commentRank is the rank of a ticket that matches only by a comment.
const commentRank = "0.01"

func (b *statement) ranked(limit int, from *Mark) (string, error) {
	beyond := "true"
	if from != nil {
		value, err := ByRelevance.decodeValue(from.Value)
		if err != nil {
			return "", err
		}
		beyond = fmt.Sprintf("(rank, id) < (%s::text::numeric, %s)", b.arg(value), b.arg(from.ID))
	}
	query := "to_tsquery('simple', " + b.search + ")"
	matches := "with " + b.found(nil, newestFirst, lookup{nearby: nearbyMatches, enough: enoughRanked, limit: rankedMatches}) + fmt.Sprintf(`, matches as (
	select t.id, case when s.search @@ %[1]s then round(ts_rank(s.search, %[1]s)::numeric, 6) else %[2]s end%[3]s as rank
	from %[4]s
	left join lateral (select * from ticket_search s where s.ticket_id = t.id offset 0) s on true)
`, query, commentRank, b.firstByNumber(), foundTickets)
	page := fmt.Sprintf("select id, rank from matches where %s order by rank desc, id desc limit %d", beyond, limit)
	return matches + "select " + ticket.Columns + ", m.rank::text, " + b.lastComment() + "\nfrom (" + page + ") m join tickets t on t.id = m.id" + joinPersons +
		"\norder by m.rank desc, t.id desc", nil
}

// firstByNumber ranks the ticket with the searched number before those that have
// it among their words; the rank of a text is below 1.
func (b *statement) firstByNumber() string {
	if b.number == "" {
		return ""
	}
	return " + case when t.number = " + b.number + " then 1 else 0 end"
}

const (
	excerptRunes = 160 // of a comment are shown
	readRunes    = 320 // are read for that, since white space becomes one blank
)

// lastComment is the SQL of the last comment of a ticket that the viewer may read, as
// readLastComment reads it.
// PostgreSQL computes it after the limit, for the tickets of the page alone.
func (b *statement) lastComment() string {
	if !b.comments {
		return "null::record"
	}
	visible := "c.removed_at is null"
	if !b.internal {
		visible += " and not c.internal"
	}
	return `(select row(u.id, u.name, c.created_at, c.internal, left(c.body, ` + strconv.Itoa(readRunes) + `))
	from ticket_comments c join users u on u.id = c.author_id
	where c.ticket_id = t.id and ` + visible + `
	order by c.created_at desc, c.id desc limit 1)`
}

// The values of grouping(status, priority, assignee_id) for each set.
const (
	groupedByStatus   = 0b011
	groupedByPriority = 0b101
	groupedByAssignee = 0b110
)

// counts is the SQL of the totals; for a search, those of its newest matches. Totals
// by status, priority and assignee alone are read from the counters; else it groups
// the rows once, which PostgreSQL does in parallel, and then the groups.
func (b *statement) counts() string {
	with, n, from := "", "count(*)", "tickets t where "+b.conditions()
	switch {
	case b.search != "":
		with = b.found(nil, newestFirst, lookup{nearby: nearbyMatches, enough: countedMatches, limit: countedMatches}) + ", "
		from = "(select t.* from (select id from near union select id from far) found" +
			"\n\tcross join lateral (select * from tickets t where t.id = found.id offset 0) t" + newestFirst + "\n\tlimit " + strconv.Itoa(countedMatches) + ") t"
	case b.number != "":
		from = "tickets t where " + b.conditions(b.matching(byIndex)...)
	case !b.single:
		n, from = "sum(t.tickets)", "ticket_counts t where "+b.conditions()
	}
	return `with ` + with + `groups as (
	select t.status, t.priority, t.assignee_id, ` + n + ` as n from ` + from + `
	group by t.status, t.priority, t.assignee_id),
totals as (
	select status, priority, assignee_id, grouping(status, priority, assignee_id) as kind, sum(n)::bigint as n
	from groups
	group by grouping sets ((status), (priority), (assignee_id))
	having sum(n) > 0)
select status::text, priority::text, assignee_id, (select a.name from users a where a.id = assignee_id) as name, kind, n
from totals
order by kind, n desc, name`
}

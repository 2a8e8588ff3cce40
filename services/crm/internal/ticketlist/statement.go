package ticketlist

import (
	"fmt"
	"strconv"
	"strings"

	"fixdesk/services/crm/internal/ticket"
)

// statement builds the SQL of a filtered list by hand: which index serves a
// list depends on which filters and order are asked for, and one statement for
// all of them would serve none. Values are always parameters; the only words
// written into the text are constants of this package.
type statement struct {
	where      []string
	args       []any
	search     string // parameter of the text search; empty for none
	number     string // parameter of the ticket number; empty for none
	internal   bool   // internal comments are searched too
	reported   bool   // one reporter's tickets are searched
	impossible bool   // nothing can match
}

const ticketColumns = `t.id, t.number, t.title, t.description, t.status, t.priority,
	t.reporter_id, r.name, t.assignee_id, coalesce(a.name, ''),
	t.resolution, t.version, t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at`

const people = `
	join users r on r.id = t.reporter_id
	left join users a on a.id = t.assignee_id`

func (b *statement) arg(value any) string {
	b.args = append(b.args, value)
	return "$" + strconv.Itoa(len(b.args))
}

func (b *statement) and(condition string) { b.where = append(b.where, condition) }

func newStatement(v ticket.Viewer, f Filter) *statement {
	b := &statement{internal: v.Staff(), reported: !v.Staff() || f.Reporter != nil}
	if !v.Staff() {
		b.and("t.reporter_id = " + b.arg(v.ID))
	}
	if len(f.Statuses) > 0 {
		b.and("t.status in (" + literals(f.Statuses) + ")")
	}
	if f.Active != nil {
		not := ""
		if !*f.Active {
			not = "not "
		}
		b.and("t.status " + not + "in (" + literals([]ticket.Status{ticket.Open, ticket.InProgress, ticket.Blocked}) + ")")
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
		b.and("t.reporter_id = " + b.arg(*f.Reporter))
	}
	if f.CreatedAfter != nil {
		b.and("t.created_at > " + b.arg(*f.CreatedAfter))
	}
	if f.CreatedBefore != nil {
		b.and("t.created_at < " + b.arg(*f.CreatedBefore))
	}
	if f.UpdatedAfter != nil {
		b.and("t.updated_at > " + b.arg(*f.UpdatedAfter))
	}
	b.find(f.Query)
	return b
}

// literals writes statuses or priorities into the text, where the planner can
// see that a partial index covers them. Only this package's constants pass.
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

// find adds what somebody typed into the search: #42 is the ticket of that
// number, 42 that ticket or the word; any other text is words, each of which
// must stand in the ticket, or each in one comment, beginning as typed.
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

func (b *statement) inText() string {
	var either []string
	if b.search != "" {
		either = append(either, b.matches("t.search"))
	}
	if b.number != "" {
		either = append(either, "t.number = "+b.number)
	}
	return "(" + strings.Join(either, " or ") + ")"
}

// matches compares words. One reporter's tickets are few: to compare each is
// quicker than what the index has of a common beginning in Everybody's, which
// is hidden from the planner because it can't tell how common one is.
func (b *statement) matches(column string) string {
	if b.reported {
		column = "(" + column + " || '')"
	}
	return column + " @@ to_tsquery('simple', " + b.search + ")"
}

func (b *statement) inComments() string {
	which := b.matches("c.search")
	if !b.internal {
		which += " and not c.internal"
	}
	if b.reported {
		// offset 0 keeps it a look at each ticket's comments, never at Everybody's.
		return "exists (select from ticket_comments c where c.ticket_id = t.id and " + which + " offset 0)"
	}
	return "t.id in (select c.ticket_id from ticket_comments c where " + which + ")"
}

// page is the SQL of one page.
func (b *statement) page(by Sort, limit int, from *Mark) (string, error) {
	if by.Key == ByRelevance && b.search != "" {
		return b.ranked(limit, from)
	}
	if by.Key == ByRelevance {
		by = Sort{Key: ByCreated, Descending: true}
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
		after = []string{fmt.Sprintf("(%s, t.id) %s (%s::%s, %s)", column, beyond, b.arg(value), by.Key.sqlType(), b.arg(from.ID))}
	}
	head := "select " + ticketColumns + ", " + by.Key.mark(column) + "\nfrom tickets t" + people
	order := fmt.Sprintf("\norder by %s %s, t.id %s", column, direction, direction)
	if b.search != "" && !b.reported {
		return b.near(after, order, limit) + head + "\nwhere t.id in (select id from near union all select id from far)" +
			order + "\nlimit " + strconv.Itoa(limit), nil
	}
	order += "\nlimit " + strconv.Itoa(limit)
	if b.search == "" && b.number == "" {
		return head + "\nwhere " + b.conditions(after...) + order, nil
	}
	if b.search == "" {
		return head + "\nwhere " + b.conditions(append(after, b.inText())...) + order, nil
	}
	// Each branch is planned by itself.
	branch := func(match string) string {
		return "(select t.id from tickets t where " + b.conditions(append(after, match)...) + order + ")"
	}
	return head + "\nwhere t.id in (" + branch(b.inText()) + "\nunion " + branch(b.inComments()) + ")" + order, nil
}

// nearby is how many tickets a search looks through one by one.
const nearby = 1000

// near is the start of a search's SQL: the ids of the first matches in the
// list's order. The planner can't tell a rare word from a common one, and by
// the wrong plan either takes seconds among a million tickets. So the beginning
// of the list is looked through, where a common word fills the page at once;
// only when it doesn't, all that the index has of the word is taken and sorted.
func (b *statement) near(after []string, order string, limit int) string {
	inComments := b.matches("c.search")
	if !b.internal {
		inComments += " and not c.internal"
	}
	first := func(n int) string { return order + "\nlimit " + strconv.Itoa(n) }
	// offset 0 keeps these from being planned as a walk along the order.
	far := func(match string) string {
		unfilled := fmt.Sprintf("(select count(*) from near) < %d", limit)
		return "(select t.id from (select * from tickets t\nwhere " + b.conditions(append(after, unfilled, match)...) + "\noffset 0) t" + first(limit) + ")"
	}
	beginning := "(select * from tickets t\nwhere " + b.conditions(after...) + first(nearby) + ")"
	return fmt.Sprintf(`with near as materialized (
	select t.id from %s t
	where %s or exists (select from ticket_comments c where c.ticket_id = t.id and %s offset 0)%s),
far as materialized (%s
	union all %s)
`, beginning, b.inText(), inComments, first(limit), far(b.inText()), far(b.inComments()))
}

// rankedMatches bounds how many matches are ranked.
const rankedMatches = 1000

func (b *statement) ranked(limit int, from *Mark) (string, error) {
	newest := fmt.Sprintf("order by t.created_at desc, t.id desc limit %d", rankedMatches)
	beyond := "true"
	if from != nil {
		value, err := ByRelevance.decodeValue(from.Value)
		if err != nil {
			return "", err
		}
		beyond = fmt.Sprintf("(rank, id) < (%s::text::numeric, %s)", b.arg(value), b.arg(from.ID))
	}
	matches := fmt.Sprintf(`with matches as (
	select id, max(rank) as rank from (
		(select t.id, round(ts_rank(t.search, to_tsquery('simple', %s))::numeric, 6)%s as rank
		from tickets t where %s %s)
		union all
		(select t.id, 0.01 from tickets t where %s %s)
	) found group by id)
`, b.search, b.firstByNumber(), b.conditions(b.inText()), newest, b.conditions(b.inComments()), newest)
	page := fmt.Sprintf("select id, rank from matches where %s order by rank desc, id desc limit %d", beyond, limit)
	return matches + "select " + ticketColumns + ", m.rank::text\nfrom (" + page + ") m join tickets t on t.id = m.id" + people +
		"\norder by m.rank desc, t.id desc", nil
}

// firstByNumber lets the ticket of the number asked for come before those that
// have it among their words; a text's rank is below 1.
func (b *statement) firstByNumber() string {
	if b.number == "" {
		return ""
	}
	return " + case when t.number = " + b.number + " then 1 else 0 end"
}

func (k SortKey) sqlType() string {
	if k == ByPriority {
		return "text::ticket_priority"
	}
	return "timestamptz"
}

// mark is the expression whose text makes a Mark's value.
func (k SortKey) mark(column string) string {
	if k == ByPriority {
		return column + "::text"
	}
	return `to_char(` + column + ` at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

// The values of grouping(t.status, t.priority, t.assignee_id) for each set.
const (
	groupedByStatus   = 0b011
	groupedByPriority = 0b101
	groupedByAssignee = 0b110
)

// counts is the SQL of the totals. Each ticket that matches by its text is
// counted there, others by their comments: each part is planned by itself, and
// nothing has to be gathered to tell doubles apart.
func (b *statement) counts() string {
	part := func(more ...string) string {
		return "select t.status, t.priority, t.assignee_id from tickets t where " + b.conditions(more...)
	}
	matching := part()
	switch {
	case b.search != "":
		matching = part(b.inText()) + "\nunion all " + part(b.inComments(), "not "+b.inText())
	case b.number != "":
		matching = part(b.inText())
	}
	return `with totals as (
	select t.status, t.priority, t.assignee_id, grouping(t.status, t.priority, t.assignee_id) as kind, count(*) as n
	from (` + matching + `) t
	group by grouping sets ((t.status), (t.priority), (t.assignee_id)))
select totals.status::text, totals.priority::text, totals.assignee_id, a.name, totals.kind, totals.n
from totals left join users a on a.id = totals.assignee_id
order by totals.kind, totals.n desc, a.name`
}

package ticketlist

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/ticket"
)

// listedTicketView is a ticket of a list.
type listedTicketView struct {
	ticket.TicketView
	LastComment httpapi.Nullable[lastCommentView] `json:"last_comment" doc:"The last comment that you may read and that was not removed; null for none."`

	encoded []byte // what AppendJSON appends; nil when it is yet to be made
}

type lastCommentView struct {
	Author    ticket.PersonView `json:"author" doc:"Who wrote it."`
	CreatedAt httpapi.Time      `json:"created_at" doc:"When it was written."`
	Internal  bool              `json:"internal" doc:"For engineers and admins only."`
	Excerpt   string            `json:"excerpt" doc:"Its first 160 characters in one line, with … at the end if there are more."`
}

// AppendJSON appends the ticket, as encoding/json does.
func (t listedTicketView) AppendJSON(b []byte) []byte {
	if t.encoded != nil {
		return append(b, t.encoded...)
	}
	b = t.TicketView.AppendJSON(b)
	b = t.LastComment.AppendJSON(append(b[:len(b)-1], `,"last_comment":`...))
	return append(b, '}')
}

// AppendJSON appends the comment, as encoding/json does.
func (c lastCommentView) AppendJSON(b []byte) []byte {
	b = ticket.AppendPerson(append(b, `{"author":`...), c.Author)
	b = c.CreatedAt.AppendJSON(append(b, `,"created_at":`...))
	b = strconv.AppendBool(append(b, `,"internal":`...), c.Internal)
	b = httpapi.AppendString(append(b, `,"excerpt":`...), c.Excerpt)
	return append(b, '}')
}

// viewList makes the views of a list with their JSON, so that many answers can have it.
func viewList(v ticket.Viewer, rows []Row) []listedTicketView {
	items, text := make([]listedTicketView, len(rows)), make([]byte, 0, len(rows)<<10)
	for i, r := range rows {
		items[i] = viewListed(v, r)
		begin := len(text)
		text = items[i].AppendJSON(text)
		items[i].encoded = text[begin:len(text):len(text)]
	}
	return items
}

func viewListed(v ticket.Viewer, r Row) listedTicketView {
	view := listedTicketView{TicketView: ticket.ViewTicket(v, r.Ticket)}
	if c := r.LastComment; c != nil {
		view.LastComment.Value = &lastCommentView{
			Author: ticket.ViewPerson(c.Author), CreatedAt: httpapi.NewTime(c.At), Internal: c.Internal, Excerpt: excerpt(c.Text),
		}
	}
	return view
}

// excerpt returns the beginning of a text in one line. A text of readRunes may go on.
func excerpt(s string) string {
	if len(s) <= excerptRunes && inOneLine(s) {
		return s
	}
	line := []rune(strings.Join(strings.Fields(s), " "))
	if len(line) <= excerptRunes && utf8.RuneCountInString(s) < readRunes {
		return string(line)
	}
	return strings.TrimRight(string(line[:min(len(line), excerptRunes-1)]), " ") + "…"
}

// inOneLine reports whether s is ASCII and has no white space but single blanks between
// words.
func inOneLine(s string) bool {
	blank := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= utf8.RuneSelf || s[i] == ' ' && blank {
			return false
		}
		blank = s[i] == ' '
	}
	return !blank
}

type ticketCountsView struct {
	Total    int                 `json:"total" doc:"All tickets of the list."`
	Complete bool                `json:"complete" doc:"false when q matches 1,000 tickets or more: the totals are then those of the newest 1,000."`
	Status   map[string]int      `json:"status" doc:"Tickets per status; statuses without a ticket are 0."`
	Priority map[string]int      `json:"priority" doc:"Tickets per priority; priorities without a ticket are 0."`
	Assignee []assigneeCountView `json:"assignee" doc:"Tickets per engineer, most first."`
}

type assigneeCountView struct {
	Assignee httpapi.Nullable[ticket.PersonView] `json:"assignee" doc:"The engineer; null for unassigned tickets."`
	Count    int                                 `json:"count" doc:"Tickets assigned to the engineer."`
}

func viewCounts(c Counts) ticketCountsView {
	v := ticketCountsView{Total: c.Total, Complete: c.Complete, Status: map[string]int{}, Priority: map[string]int{}, Assignee: []assigneeCountView{}}
	for _, s := range ticket.Statuses {
		v.Status[string(s)] = c.Statuses[s]
	}
	for _, p := range ticket.Priorities {
		v.Priority[string(p)] = c.Priorities[p]
	}
	for _, a := range c.Assignees {
		v.Assignee = append(v.Assignee, assigneeCountView{Assignee: ticket.ViewPersonOrNull(a.Assignee), Count: a.Count})
	}
	return v
}

var exampleListed = listedTicketView{
	TicketView: ticket.ExampleTicket,
	LastComment: httpapi.Nullable[lastCommentView]{Value: &lastCommentView{
		Author: ticket.ExamplePerson(example.Ada), CreatedAt: httpapi.NewTime(example.At("10:40:00")), Excerpt: example.Answer,
	}},
}

var exampleCounts = ticketCountsView{
	Total: 3, Complete: true,
	Status:   map[string]int{"open": 1, "in_progress": 1, "blocked": 0, "resolved": 1, "closed": 0},
	Priority: map[string]int{"low": 0, "normal": 2, "high": 1, "urgent": 0},
	Assignee: []assigneeCountView{{Assignee: httpapi.Nullable[ticket.PersonView]{Value: &exampleEngineer}, Count: 3}},
}

var exampleEngineer = ticket.ExamplePerson(example.Erik)

const exampleCSV = "number,id,title,status,priority,reporter,assignee,created_at,updated_at,accepted_at,resolved_at,closed_at,resolution,description\r\n" +
	"42,019bb1a3-3740-7c3a-9d4e-2f6a8b1c0d42,Printer on the second floor smokes,resolved,high,Ada Moreno,Erik Lind,2026-01-12T09:30:00Z,2026-01-12T11:15:00Z,2026-01-12T09:42:00Z,2026-01-12T11:15:00Z,,The fuser unit was worn out and is replaced.,It smokes when it prints in colour. We have switched it off.\r\n"

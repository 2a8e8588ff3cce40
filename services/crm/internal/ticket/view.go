package ticket

import (
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
)

type personView struct {
	ID   uuid.UUID `json:"id" format:"uuid"`
	Name string    `json:"name"`
}

type ticketView struct {
	ID          uuid.UUID                      `json:"id" format:"uuid"`
	Number      int64                          `json:"number" doc:"For people to say: #42. Unique, not without gaps."`
	Title       string                         `json:"title"`
	Description string                         `json:"description"`
	Status      string                         `json:"status" enum:"open,in_progress,blocked,resolved,closed"`
	Priority    string                         `json:"priority" enum:"low,normal,high,urgent"`
	Reporter    personView                     `json:"reporter"`
	Assignee    httpapi.Nullable[personView]   `json:"assignee" doc:"null until an engineer is available"`
	Resolution  *string                        `json:"resolution" nullable:"true"`
	Version     int                            `json:"version" doc:"Grows with each change; the ETag is made of it."`
	CreatedAt   httpapi.Time                   `json:"created_at"`
	UpdatedAt   httpapi.Time                   `json:"updated_at"`
	AcceptedAt  httpapi.Nullable[httpapi.Time] `json:"accepted_at"`
	ResolvedAt  httpapi.Nullable[httpapi.Time] `json:"resolved_at"`
	ClosedAt    httpapi.Nullable[httpapi.Time] `json:"closed_at"`
}

func viewPerson(p Person) personView { return personView(p) }

func viewPersonOrNull(p *Person) httpapi.Nullable[personView] {
	if p == nil {
		return httpapi.Nullable[personView]{}
	}
	v := viewPerson(*p)
	return httpapi.Nullable[personView]{Value: &v}
}

func viewTicket(t Ticket) ticketView {
	return ticketView{
		ID: t.ID, Number: t.Number, Title: t.Title, Description: t.Description,
		Status: string(t.Status), Priority: string(t.Priority),
		Reporter: viewPerson(t.Reporter), Assignee: viewPersonOrNull(t.Assignee),
		Resolution: t.Resolution, Version: t.Version,
		CreatedAt: httpapi.NewTime(t.CreatedAt), UpdatedAt: httpapi.NewTime(t.UpdatedAt),
		AcceptedAt: httpapi.NullTime(t.AcceptedAt), ResolvedAt: httpapi.NullTime(t.ResolvedAt), ClosedAt: httpapi.NullTime(t.ClosedAt),
	}
}

type commentView struct {
	ID        uuid.UUID    `json:"id" format:"uuid"`
	TicketID  uuid.UUID    `json:"ticket_id" format:"uuid"`
	Author    personView   `json:"author"`
	Body      string       `json:"body"`
	Internal  bool         `json:"internal" doc:"For engineers and admins alone."`
	CreatedAt httpapi.Time `json:"created_at"`
}

func viewComment(c Comment) commentView {
	return commentView{
		ID: c.ID, TicketID: c.TicketID, Author: viewPerson(c.Author),
		Body: c.Body, Internal: c.Internal, CreatedAt: httpapi.NewTime(c.CreatedAt),
	}
}

type eventView struct {
	ID        uuid.UUID                    `json:"id" format:"uuid"`
	TicketID  uuid.UUID                    `json:"ticket_id" format:"uuid"`
	Kind      string                       `json:"kind" enum:"created,assigned,unassigned,accepted,declined,updated,status_changed,reopened,commented"`
	Actor     httpapi.Nullable[personView] `json:"actor" doc:"null for what the system did itself"`
	Changes   map[string]json.RawMessage   `json:"changes" doc:"Each field's value before (from) and after (to). Engineers and admins also read why: the rule and the candidates with their loads."`
	CreatedAt httpapi.Time                 `json:"created_at"`
}

func viewEvent(e Event) (eventView, error) {
	v := eventView{
		ID: e.ID, TicketID: e.TicketID, Kind: e.Kind, Actor: viewPersonOrNull(e.Actor),
		Changes: map[string]json.RawMessage{}, CreatedAt: httpapi.NewTime(e.CreatedAt),
	}
	return v, json.Unmarshal(e.Changes, &v.Changes)
}

type countsView struct {
	Total    int            `json:"total"`
	Status   map[string]int `json:"status" doc:"Tickets per status; statuses without a ticket are 0."`
	Priority map[string]int `json:"priority" doc:"Tickets per priority; priorities without a ticket are 0."`
	Assignee []assigneeView `json:"assignee" doc:"Tickets per engineer, most first."`
}

type assigneeView struct {
	Assignee httpapi.Nullable[personView] `json:"assignee" doc:"null for tickets that nobody has"`
	Count    int                          `json:"count"`
}

func viewCounts(c Counts) countsView {
	v := countsView{Total: c.Total, Status: map[string]int{}, Priority: map[string]int{}, Assignee: []assigneeView{}}
	for _, s := range statusOrder {
		v.Status[string(s)] = c.Statuses[s]
	}
	for _, p := range []Priority{Low, Normal, High, Urgent} {
		v.Priority[string(p)] = c.Priorities[p]
	}
	for _, a := range c.Assignees {
		v.Assignee = append(v.Assignee, assigneeView{Assignee: viewPersonOrNull(a.Assignee), Count: a.Count})
	}
	return v
}

var csvHeader = []string{
	"number", "id", "title", "status", "priority", "reporter", "assignee",
	"created_at", "updated_at", "accepted_at", "resolved_at", "closed_at", "resolution", "description",
}

func writeCSV(w *csv.Writer, t Ticket) error {
	assignee := ""
	if t.Assignee != nil {
		assignee = t.Assignee.Name
	}
	row := []string{
		strconv.FormatInt(t.Number, 10), t.ID.String(), t.Title, string(t.Status), string(t.Priority), t.Reporter.Name, assignee,
		csvTime(&t.CreatedAt), csvTime(&t.UpdatedAt), csvTime(t.AcceptedAt), csvTime(t.ResolvedAt), csvTime(t.ClosedAt),
		deref(t.Resolution), t.Description,
	}
	for i, cell := range row {
		row[i] = harmless(cell)
	}
	return w.Write(row)
}

// harmless keeps a spreadsheet from taking a cell for a formula (OWASP, CSV
// Injection).
func harmless(cell string) string {
	if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + cell
	}
	return cell
}

func csvTime(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

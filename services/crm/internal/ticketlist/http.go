package ticketlist

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/errs"
	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/pg"
	"fixdesk/services/crm/internal/example"
	"fixdesk/services/crm/internal/identity"
	"fixdesk/services/crm/internal/ticket"
)

// Register mounts the lists of tickets.
func Register(api *httpapi.API, s *Service) {
	ticket.Enums(api)
	httpapi.Enum(api, "TicketSort", "What a list of tickets is ordered by; with a minus sign from the largest value down.", ticketSorts...)
	h := &handlers{s: s, shared: pg.NewSharedCalls[string, shownList]()}
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets", ID: "list-tickets", Tag: "tickets", Allow: ticket.AllRoles, Scope: identity.ScopeTicketsRead, Tagged: true, Ahead: h.ahead,
		Summary: "List and search tickets",
		Description: "Customers see the tickets they reported, and with follower=me those that they follow; engineers and admins see all. Each has the beginning of the last comment that you may read. GET /v1/tickets/export returns the whole filtered list as CSV. " +
			"The list is not to be stored by caches; a client that asks again and again may keep it, and get 304 while it is the same.",
		Errors:  []string{errs.CodeInvalidCursor},
		Example: httpapi.NewPage([]listedTicketView{exampleListed}, example.NextCursor),
	}, h.list)
	httpapi.RegisterStream(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/export", ID: "export-tickets", Tag: "tickets", Allow: ticket.AllRoles, Scope: identity.ScopeTicketsRead,
		Summary: "A filtered list of tickets as CSV",
		Description: "RFC 4180 with a header row, in UTF-8: number, id, title, status, priority, reporter, assignee, times, resolution, description. Cells that a spreadsheet would take for formulas begin with an apostrophe. " +
			"Each ticket is listed once, as it is when it is read; one that changes during the export can be listed after all others. The connection is closed when you may no longer read.",
		Headers: []string{"Content-Disposition"}, Example: exampleCSV,
	}, "text/csv", h.export)
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodGet, Path: "/v1/tickets/counts", ID: "count-tickets", Tag: "tickets", Allow: ticket.AllRoles, Scope: identity.ScopeTicketsRead,
		Summary:     "Totals of a filtered list, by status, priority and assignee",
		Description: "For a search the newest 1,000 matches are counted; complete is false when there are more.",
		Example:     exampleCounts,
	}, h.counts)
}

type handlers struct {
	s         *Service
	shared    *pg.SharedCalls[string, shownList]
	unchanged httpapi.Unchanged
}

// ahead asks for the state of the database when the client may have the answer.
func (h *handlers) ahead(r *http.Request) any {
	if r.Header["If-None-Match"] == nil {
		return nil
	}
	return h.s.state.Ask(struct{}{})
}

// clientHas reports whether the client has the answer to a request, by its If-None-Match.
func (h *handlers) clientHas(ctx context.Context, in *listInput, v ticket.Viewer) (bool, error) {
	asked, ok := httpapi.Ahead(ctx).(pg.Asked[struct{}, string])
	if !ok {
		return false, nil
	}
	state, _, err := asked.Get(ctx)
	if err != nil {
		return false, err
	}
	request, err := json.Marshal([]any{v, in.Sort, in.FilterParams, in.PageParams})
	if err != nil {
		return false, fmt.Errorf("make the key of a request: %w", err)
	}
	return h.unchanged.Is(ctx, string(request), state), nil
}

// FilterParams are the filters of lists and totals. It is exported for huma,
// which reads the fields of an embedded struct only then.
type FilterParams struct {
	Status        []ticket.Status   `query:"status" doc:"One or more."`
	Active        string            `query:"active" enum:"true,false" doc:"true: open, in progress or blocked; false: resolved or closed."`
	Priority      []ticket.Priority `query:"priority" doc:"One or more."`
	Assignee      string            `query:"assignee" maxLength:"36" doc:"An engineer's id, me, or none."`
	Reporter      string            `query:"reporter" maxLength:"36" doc:"A user's id, or me."`
	Follower      string            `query:"follower" maxLength:"36" doc:"A user's id, or me: tickets that they follow. Customers see their own alone."`
	Q             string            `query:"q" maxLength:"200" doc:"Words, matched from their beginning, in title, description and the comments you may read; #42 is the ticket of that number."`
	CreatedAfter  time.Time         `query:"created_after" doc:"Tickets raised after this time (RFC 3339)." example:"2026-01-12T00:00:00Z"`
	CreatedBefore time.Time         `query:"created_before" doc:"Tickets raised before this time (RFC 3339)." example:"2026-01-13T00:00:00Z"`
	UpdatedAfter  time.Time         `query:"updated_after" doc:"Tickets changed after this time (RFC 3339)." example:"2026-01-12T11:00:00Z"`
}

type ticketSort string

var ticketSorts = []ticketSort{"created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority", "relevance"}

// OrderParams are filters and order of a list. It is exported for huma, which
// reads the fields of an embedded struct only then.
type OrderParams struct {
	FilterParams
	Sort ticketSort `query:"sort" default:"-created_at" doc:"What the list is ordered by, from the smallest value up. A minus sign in front of it reverses the order: -created_at is newest first, -priority most urgent first. relevance has the best match first and needs q."`
}

type listInput struct {
	OrderParams
	httpapi.PageParams
}

type exportInput struct{ OrderParams }

func (p FilterParams) filter(v ticket.Viewer) (Filter, error) {
	f := Filter{
		Query: p.Q, CreatedAfter: given(p.CreatedAfter), CreatedBefore: given(p.CreatedBefore), UpdatedAfter: given(p.UpdatedAfter),
		Statuses: distinct(p.Status), Priorities: distinct(p.Priority),
	}
	if p.Active != "" {
		active := p.Active == "true"
		f.Active = &active
	}
	var wrong []errs.Field
	if p.Assignee == "none" {
		f.NoAssignee = true
	} else if f.Assignee = who(p.Assignee, v); f.Assignee == nil && p.Assignee != "" {
		wrong = append(wrong, errs.Field{Location: "query.assignee", Message: "must be an id, me or none"})
	}
	if f.Reporter = who(p.Reporter, v); f.Reporter == nil && p.Reporter != "" {
		wrong = append(wrong, errs.Field{Location: "query.reporter", Message: "must be an id or me"})
	}
	if f.Follower = who(p.Follower, v); f.Follower == nil && p.Follower != "" {
		wrong = append(wrong, errs.Field{Location: "query.follower", Message: "must be an id or me"})
	}
	if len(wrong) > 0 {
		return Filter{}, errs.Validation(wrong...)
	}
	return f, nil
}

// who reads a user: an id or me; nil for neither.
func who(s string, v ticket.Viewer) *uuid.UUID {
	if s == "me" {
		return &v.ID
	}
	if id, err := uuid.Parse(s); err == nil && len(s) == 36 {
		return &id
	}
	return nil
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func distinct[T comparable](values []T) []T {
	var list []T
	for _, v := range values {
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

func (in OrderParams) sort() (Sort, error) {
	if in.Sort == ticketSort(ByRelevance) {
		if strings.TrimSpace(in.Q) == "" {
			return Sort{}, errs.Validation(errs.Field{Location: "query.sort", Message: "relevance needs q"})
		}
		return Sort{Key: ByRelevance, Descending: true}, nil
	}
	key, descending := strings.CutPrefix(string(in.Sort), "-")
	return Sort{Key: SortKey(key), Descending: descending}, nil
}

// wanted is the filter and order of a request.
func (in OrderParams) wanted(v ticket.Viewer) (Filter, Sort, error) {
	f, err := in.filter(v)
	if err != nil {
		return Filter{}, Sort{}, err
	}
	by, err := in.sort()
	return f, by, err
}

// scope is what a cursor is bound to: the filters, the order and the reader.
func (in OrderParams) scope(v ticket.Viewer) any {
	return []any{"tickets", v.ID, v.Role, in.Sort, in.FilterParams}
}

func (h *handlers) list(ctx context.Context, in *listInput) (*httpapi.PageOutput[listedTicketView], error) {
	v := ticket.ViewerFrom(ctx)
	f, by, err := in.wanted(v)
	if err != nil {
		return nil, err
	}
	if has, err := h.clientHas(ctx, in, v); has || err != nil {
		return &httpapi.PageOutput[listedTicketView]{}, err
	}
	var list shownList
	return httpapi.Pager[Row, Mark, listedTicketView]{
		Filters: in.scope(v),
		Fetch: func(after *Mark, n int) ([]Row, error) {
			list, err = h.shownList(ctx, v, f, by, n, after)
			return list.rows, err
		},
		Position: Row.Mark,
		Items:    func(n int) []listedTicketView { return list.items[:n] },
	}.Page(ctx, in.PageParams)
}

// shownList is the beginning of a list and how it is answered.
type shownList struct {
	rows  []Row
	items []listedTicketView
}

// shownList reads a list. Requests for the same list share it, JSON included, when they
// arrive while one of them is read: an event brings many consoles to ask for the queue
// at once.
func (h *handlers) shownList(ctx context.Context, v ticket.Viewer, f Filter, by Sort, n int, after *Mark) (shownList, error) {
	key, err := listKey(v, f, by, n, after)
	if err != nil {
		return shownList{}, err
	}
	return h.shared.Do(ctx, key, func(ctx context.Context) (shownList, error) {
		rows, err := h.s.List(ctx, v, f, by, n, after)
		return shownList{rows, viewList(v, rows)}, err
	})
}

// listKey is all that a list and how it is shown depend on. It is the same for all of the
// staff, who see the same, and different for each customer.
func listKey(v ticket.Viewer, f Filter, by Sort, n int, after *Mark) (string, error) {
	viewer := &v
	if v.Staff() {
		viewer = nil
	}
	key, err := json.Marshal([]any{viewer, f, by, n, after})
	if err != nil {
		return "", fmt.Errorf("make the key of a list: %w", err)
	}
	return string(key), nil
}

// exportStall is how long a client may take to read one write of an export.
const exportStall = 30 * time.Second

func (h *handlers) export(ctx context.Context, in *exportInput) (httpapi.Stream, error) {
	v, p := ticket.ViewerFrom(ctx), identity.PrincipalFrom(ctx)
	f, by, err := in.wanted(v)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, w *httpapi.StreamWriter) error {
		w.SetHeader("Content-Disposition", `attachment; filename="tickets.csv"`)
		table := csv.NewWriter(w)
		table.UseCRLF = true // RFC 4180, section 2
		if err := table.Write(csvHeader); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
		first := true
		eachPage := func(ctx context.Context) error {
			if !first { // what was read reaches the client while the next page is read
				if table.Flush(); table.Error() != nil {
					return fmt.Errorf("write CSV: %w", table.Error())
				}
				if err := w.Flush(); err != nil {
					return fmt.Errorf("send CSV: %w", err)
				}
			}
			first = false
			if err := w.SetWriteDeadline(h.s.now().Add(exportStall)); err != nil {
				return fmt.Errorf("set the write deadline: %w", err)
			}
			return h.s.check(ctx, p)
		}
		if err := h.s.Export(ctx, v, f, by, eachPage, func(t ticket.Ticket) error { return writeCSV(table, t) }); err != nil {
			return err
		}
		table.Flush()
		return table.Error()
	}, nil
}

type countsAnswer struct {
	Body ticketCountsView
}

func (h *handlers) counts(ctx context.Context, in *FilterParams) (*countsAnswer, error) {
	v := ticket.ViewerFrom(ctx)
	f, err := in.filter(v)
	if err != nil {
		return nil, err
	}
	counts, err := h.s.Count(ctx, v, f)
	if err != nil {
		return nil, err
	}
	return &countsAnswer{Body: viewCounts(counts)}, nil
}

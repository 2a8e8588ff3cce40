package ticketlist

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"fixdesk/services/crm/internal/crmtest"
	"fixdesk/services/crm/internal/ticket"
)

// pages returns the tickets of all pages; it calls between after each.
func (d *testEnv) pages(who crmtest.User, query string, between func()) []crmtest.Ticket {
	d.Helper()
	var all []crmtest.Ticket
	cursor := ""
	for {
		p := crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(who, "GET", "/v1/tickets?"+query+cursor, nil).Want(200))
		all = append(all, p.Items...)
		if p.NextCursor == "" {
			return all
		}
		cursor = "&cursor=" + url.QueryEscape(p.NextCursor)
		between()
	}
}

// archive is an environment with tickets in every status, whose times differ by hours.
type archive struct {
	*testEnv
	customers, engineers []crmtest.User
	admin                crmtest.User
	tickets              []crmtest.Ticket
	start                time.Time
}

func newArchive(t *testing.T, n int) *archive {
	d := newTestEnv(t)
	a := &archive{testEnv: d, admin: d.User("admin"), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for range 3 {
		a.customers = append(a.customers, d.User("customer"))
		a.engineers = append(a.engineers, d.Engineer())
	}
	r := rand.New(rand.NewPCG(7, 7))
	for i := range n {
		created := a.start.Add(time.Duration(i) * time.Hour)
		status, priority := ticket.Statuses[i%5], []ticket.Priority{ticket.Low, ticket.Normal, ticket.High, ticket.Urgent}[r.IntN(4)]
		var assignee *uuid.UUID
		if status == ticket.InProgress || status == ticket.Blocked || r.IntN(3) > 0 {
			assignee = &a.engineers[r.IntN(3)].ID
		}
		title := fmt.Sprintf("%s %d", []string{"Printer", "Screen", "Mouse"}[r.IntN(3)], i)
		d.Exec(`with searchable as (insert into ticket_search (ticket_id, search, folding) values ($1, to_tsvector('simple', lower($2)), 1))
			insert into tickets (id, title, description, status, priority, reporter_id, assignee_id, resolution, created_at, updated_at, accepted_at, resolved_at, closed_at)
			values ($1, $2, 'It smokes', $3, $4, $5, $6, 'Done', $7, $8, $7, $7, case when $3 = 'closed'::ticket_status then $7::timestamptz end)`,
			uuid.Must(uuid.NewV7()), title, status, priority, a.customers[r.IntN(3)].ID, assignee, created, created.Add(time.Duration(r.IntN(5))*time.Hour))
	}
	a.tickets = a.pages(a.admin, "limit=100&sort=created_at", func() {})
	if len(a.tickets) != n {
		t.Fatalf("%d tickets", len(a.tickets))
	}
	return a
}

// filter is a query parameter with the condition that it stands for.
type filter struct {
	query string
	pass  func(crmtest.Ticket) bool
}

func (a *archive) filters(viewer crmtest.User) [][]filter {
	in := func(field func(crmtest.Ticket) string, values ...string) func(crmtest.Ticket) bool {
		return func(t crmtest.Ticket) bool { return slices.Contains(values, field(t)) }
	}
	status := func(t crmtest.Ticket) string { return t.Status }
	priority := func(t crmtest.Ticket) string { return t.Priority }
	middle := a.start.Add(20*time.Hour + time.Minute)
	when := url.QueryEscape(middle.Format(time.RFC3339))
	active := func(t crmtest.Ticket) bool { return ticket.Status(t.Status).Active() }
	return [][]filter{
		{{"status=open", in(status, "open")}, {"status=blocked,closed", in(status, "blocked", "closed")}, {"status=blocked&status=closed", in(status, "blocked", "closed")}, {"status=open,blocked&status=closed", in(status, "open", "blocked", "closed")}, {"status=open,open", in(status, "open")}},
		{{"active=true", active}, {"active=false", func(t crmtest.Ticket) bool { return !active(t) }}},
		{{"priority=urgent", in(priority, "urgent")}, {"priority=low,normal", in(priority, "low", "normal")}},
		{
			{"assignee=none", func(t crmtest.Ticket) bool { return t.Assignee == nil }}, {"assignee=me", func(t crmtest.Ticket) bool { return t.AssignedTo(viewer) }},
			{"assignee=" + a.engineers[1].ID.String(), func(t crmtest.Ticket) bool { return t.AssignedTo(a.engineers[1]) }},
		},
		{
			{"reporter=me", func(t crmtest.Ticket) bool { return t.Reporter.ID == viewer.ID }},
			{"reporter=" + a.customers[1].ID.String(), func(t crmtest.Ticket) bool { return t.Reporter.ID == a.customers[1].ID }},
		},
		{{"q=prin", func(t crmtest.Ticket) bool { return strings.HasPrefix(t.Title, "Printer") }}, {"q=%2317", func(t crmtest.Ticket) bool { return t.Number == 17 }}},
		{{"created_after=" + when, func(t crmtest.Ticket) bool { return t.CreatedAt.After(middle) }}, {"created_before=" + when, func(t crmtest.Ticket) bool { return t.CreatedAt.Before(middle) }}},
		{{"updated_after=" + when, func(t crmtest.Ticket) bool { return t.UpdatedAt.After(middle) }}},
	}
}

var sorts = map[string]func(a, b crmtest.Ticket) int{
	"created_at": func(a, b crmtest.Ticket) int { return a.CreatedAt.Compare(b.CreatedAt) },
	"updated_at": func(a, b crmtest.Ticket) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"priority": func(a, b crmtest.Ticket) int {
		order := []string{"low", "normal", "high", "urgent"}
		return cmp.Compare(slices.Index(order, a.Priority), slices.Index(order, b.Priority))
	},
}

// want is the expected list, from a filter of all tickets in Go.
func (a *archive) want(viewer crmtest.User, filters []filter, sort string) []int64 {
	key, descending := strings.CutPrefix(sort, "-")
	tickets := slices.Clone(a.tickets)
	slices.SortFunc(tickets, func(x, y crmtest.Ticket) int {
		c := cmp.Or(sorts[key](x, y), bytes.Compare(x.ID[:], y.ID[:]))
		if descending {
			return -c
		}
		return c
	})
	numbers := []int64{}
	for _, t := range tickets {
		pass := viewer.Role != "customer" || t.Reporter.ID == viewer.ID
		for _, f := range filters {
			pass = pass && f.pass(t)
		}
		if pass {
			numbers = append(numbers, t.Number)
		}
	}
	return numbers
}

func numbers(tickets []crmtest.Ticket) []int64 {
	list := []int64{}
	for _, t := range tickets {
		list = append(list, t.Number)
	}
	return list
}

// check compares list and totals with want.
func (a *archive) check(viewer crmtest.User, filters []filter, sort string, limit int) {
	a.Helper()
	query := ""
	for _, f := range filters {
		query += f.query + "&"
	}
	want := a.want(viewer, filters, sort)
	got := numbers(a.pages(viewer, fmt.Sprintf("%slimit=%d&sort=%s", query, limit, sort), func() {}))
	if !slices.Equal(got, want) {
		a.Errorf("%s, %ssort=%s&limit=%d: %v, want %v", viewer.Role, query, sort, limit, got, want)
	}
	counts := crmtest.Parse[ticketCountsView](a.Call(viewer, "GET", "/v1/tickets/counts?"+strings.TrimSuffix(query, "&"), nil).Want(200))
	byStatus, byPriority, byAssignee := 0, 0, 0
	for _, n := range counts.Status {
		byStatus += n
	}
	for _, n := range counts.Priority {
		byPriority += n
	}
	for _, n := range counts.Assignee {
		byAssignee += n.Count
	}
	if counts.Total != len(want) || byStatus != len(want) || byPriority != len(want) || byAssignee != len(want) {
		a.Errorf("%s, %s: counts %+v, want %d", viewer.Role, query, counts, len(want))
	}
}

func TestEachFilterAndSortAndTheirCombinations(t *testing.T) {
	a := newArchive(t, 60)
	viewers := []crmtest.User{a.customers[0], a.engineers[0], a.admin}
	for _, viewer := range viewers {
		for _, group := range a.filters(viewer) {
			for _, f := range group {
				a.check(viewer, []filter{f}, "-created_at", 7)
			}
		}
		for key := range sorts {
			a.check(viewer, nil, key, 7)
			a.check(viewer, nil, "-"+key, 100)
		}
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		viewer := viewers[r.IntN(3)]
		var chosen []filter
		for _, group := range a.filters(viewer) {
			if r.IntN(4) == 0 {
				chosen = append(chosen, group[r.IntN(len(group))])
			}
		}
		sort := []string{"created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority"}[r.IntN(6)]
		a.check(viewer, chosen, sort, 1+r.IntN(20))
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

func TestWrongFiltersAreRefused(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	for _, query := range []string{
		"status=new", "status=open,new", "status=", "status=OPEN", "status=open&status=", "status=open&status=new", "active=true&active=true", "sort=created_at&sort=created_at", "limit=1&limit=1", "priority=none", "active=yes", "active=1", "assignee=you", "assignee=" + strings.Repeat("a", 36), "reporter=none", "reporter=x",
		"sort=title", "sort=+created_at", "sort=-relevance", "sort=created_at;drop", "limit=0", "limit=101", "limit=-1", "limit=a", "created_after=yesterday", "created_after=2026-13-01T00:00:00Z",
		"unknown=1", "q=a&q=b", "sort=relevance", "Status=open", "assignee=%00",
	} {
		d.Call(customer, "GET", "/v1/tickets?"+query, nil).Refused(422, "validation_failed")
	}
	for _, query := range []string{"created_after=0000-01-01T00:00:00Z", "created_before=9999-12-31T23:59:59Z", "updated_after=2026-01-01T00:00:00.123456789%2B14:00", "assignee=me&reporter=me", "q="} {
		d.Call(customer, "GET", "/v1/tickets?"+query, nil).Want(200)
	}
	if body := string(d.Call(customer, "GET", "/v1/tickets", nil).Want(200).Body); strings.TrimSpace(body) != `{"items":[]}` {
		t.Errorf("an empty list is %s", body)
	}
}

func TestPagesListEachUnchangedTicketOnceWhileOthersChange(t *testing.T) {
	for _, sort := range []string{"created_at", "-created_at", "updated_at", "-updated_at", "priority", "-priority"} {
		t.Run(sort, func(t *testing.T) {
			a := newArchive(t, 40)
			steady := map[int64]int{}
			for _, raised := range a.tickets {
				if raised.Number%4 != 0 {
					steady[raised.Number] = 0
				}
			}
			r := rand.New(rand.NewPCG(1, 2))
			for _, raised := range a.pages(a.admin, "limit=3&sort="+sort, func() {
				a.Raise(a.customers[0], "New", "Nothing")
				a.Exec(`update tickets set updated_at = $2, priority = $3, version = version + 1 where number = $1`,
					4+4*r.IntN(10), a.start.Add(time.Duration(r.IntN(100))*time.Hour), []ticket.Priority{ticket.Low, ticket.Normal, ticket.High, ticket.Urgent}[r.IntN(4)])
				a.Exec(`update tickets set title = title || '!' where number % 4 = 1`)
				if r.IntN(3) == 0 {
					a.Exec(`delete from tickets where number = $1 and number % 4 = 0`, 4*r.IntN(10))
				}
			}) {
				if _, ok := steady[raised.Number]; ok {
					steady[raised.Number]++
				}
			}
			for number, times := range steady {
				if times != 1 {
					t.Errorf("#%d seen %d times", number, times)
				}
			}
		})
	}
}

func TestCommentsAndEventsArePagedWithoutGapsOrDuplicates(t *testing.T) {
	d := newTestEnv(t)
	customer := d.User("customer")
	engineer := d.Engineer()
	raised := d.Raise(customer, "Printer", "It smokes")
	for i := range 9 {
		d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": fmt.Sprint(i), "internal": i%3 == 0}).Want(201)
	}
	for who, want := range map[crmtest.User]string{customer: "875421", engineer: "876543210"} {
		got, cursor := "", ""
		for {
			p := crmtest.Parse[crmtest.Page[struct{ Body string }]](d.Call(who, "GET", raised.Path("/comments?limit=2"+cursor), nil).Want(200))
			for _, c := range p.Items {
				got += c.Body
			}
			if p.NextCursor == "" {
				break
			}
			cursor = "&cursor=" + p.NextCursor
			d.Call(engineer, "POST", raised.Path("/comments"), crmtest.Object{"body": "9"}).Want(201)
		}
		if got != want {
			t.Errorf("%s reads %s, want %s", who.Role, got, want)
		}
		d.Exec(`delete from ticket_comments where body = '9'`)
	}
	all, cursor := []uuid.UUID{}, ""
	for {
		p := crmtest.Parse[crmtest.Page[crmtest.Event]](d.Call(customer, "GET", raised.Path("/events?limit=3"+cursor), nil).Want(200))
		for _, e := range p.Items {
			all = append(all, e.ID)
		}
		if p.NextCursor == "" {
			break
		}
		cursor = "&cursor=" + p.NextCursor
	}
	want := crmtest.List[uuid.UUID](d.Env, `select id from ticket_events where ticket_id = $1 and not internal order by created_at, id`, raised.ID)
	if !slices.Equal(all, want) {
		t.Errorf("%d events of %d", len(all), len(want))
	}
}

func TestTotalsHaveEachStatusAndPriorityAndTheTopAssignees(t *testing.T) {
	a := newArchive(t, 30)
	raw := a.Call(a.admin, "GET", "/v1/tickets/counts?status=open,closed", nil).Want(200)
	var counts struct {
		Total            int
		Status, Priority map[string]int
		Assignee         []struct {
			Assignee *struct{ Name string }
			Count    int
		}
	}
	if err := json.Unmarshal(raw.Body, &counts); err != nil {
		t.Fatal(err)
	}
	if counts.Total != 12 || len(counts.Status) != 5 || len(counts.Priority) != 4 || counts.Status["open"] != 6 || counts.Status["blocked"] != 0 {
		t.Errorf("%s", raw.Body)
	}
	for i, c := range counts.Assignee[1:] {
		if c.Count > counts.Assignee[i].Count {
			t.Errorf("not the most first: %s", raw.Body)
		}
	}
	if got, err := a.service.Count(context.Background(), ticket.Viewer(a.admin), Filter{Query: "!!"}); err != nil || got.Total != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestFollowedTicketsAreListedForTheirFollowerAlone(t *testing.T) {
	d := newTestEnv(t)
	customer, follower, other, engineer := d.User("customer"), d.User("customer"), d.User("customer"), d.Engineer()
	followed := d.Raise(customer, "Printer", "It smokes")
	d.Raise(follower, "Lamp", "It flickers")
	d.Call(engineer, "POST", followed.Path("/followers"), crmtest.Object{"email": follower.Email}).Want(201)
	want := func(who crmtest.User, query string, titles ...string) {
		t.Helper()
		var got []string
		for _, item := range crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(who, "GET", "/v1/tickets?"+query, nil).Want(200)).Items {
			got = append(got, item.Title)
		}
		counts := crmtest.Parse[struct{ Total int }](d.Call(who, "GET", "/v1/tickets/counts?"+query, nil).Want(200))
		if !slices.Equal(got, titles) || counts.Total != len(titles) {
			t.Errorf("%s by %s: %v, %d counted", query, who.Role, got, counts.Total)
		}
	}
	id := "follower=" + follower.ID.String()
	want(follower, "follower=me", "Printer")
	want(follower, id+"&q=smokes", "Printer")
	want(follower, id+"&q=flickers")
	want(follower, "", "Lamp")
	want(follower, "q=printer")
	want(engineer, id, "Printer")
	want(engineer, "follower=me")
	for _, who := range []crmtest.User{customer, other} { // not even the reporter learns who follows
		want(who, "follower=me")
		want(who, id)
	}
	d.NeedsVerified = true
	want(follower, "follower=me")
	d.Exec(`update users set email_verified_at = now() where id = $1`, follower.ID)
	want(follower, "follower=me", "Printer")
	d.Call(engineer, "DELETE", followed.Path("/followers/"+follower.ID.String()), nil).Want(204)
	want(follower, "follower=me")
}

func TestListHasNoAddressOfAnErasedReporter(t *testing.T) {
	d := newTestEnv(t)
	customer, admin := d.User("customer"), d.User("admin")
	d.Raise(customer, "Printer", "It smokes")
	address := func() string {
		list := crmtest.Parse[crmtest.Page[crmtest.Ticket]](d.Call(admin, "GET", "/v1/tickets", nil).Want(200))
		return list.Items[0].Reporter.Email
	}
	if got := address(); got != customer.Email {
		t.Errorf("the reporter has the address %q, want %q", got, customer.Email)
	}
	d.Exec(`update users set erased_at = now() where id = $1`, customer.ID)
	if got := address(); got != "" {
		t.Errorf("an erased reporter has the address %q", got)
	}
}

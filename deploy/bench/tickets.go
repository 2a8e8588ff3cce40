package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	connections     = 16
	manyConnections = 128
	smallTickets    = 10_000
	// openTickets is how many tickets the actions have to work on. The scripts of
	// pgbench have the number, too.
	openTickets = 40_000
)

// crmClient makes requests to a CRM on a database of so many tickets.
type crmClient struct {
	addr    string
	tokens  []string
	tickets int
	next    *atomic.Int64 // of the actions, which take one ticket after the other
}

// get, create and list append requests. A ticket is read by its reporter,
// lists are an engineer's, who may see all.

func (client crmClient) get(buf []byte, random *rand.Rand) []byte {
	ticket := 1 + random.IntN(client.tickets)
	return client.request(buf, "GET", "/v1/tickets/"+id(ticketIDs, ticket), reporterOf(ticket), "")
}

const newTicket = `{"title":"` + titleText + `","description":"` + descriptionText + `"}`

func (client crmClient) create(buf []byte, random *rand.Rand) []byte {
	return client.request(buf, "POST", "/v1/tickets", 1+random.IntN(customers), newTicket)
}

func (client crmClient) list(query string) func([]byte, *rand.Rand) []byte {
	return func(buf []byte, random *rand.Rand) []byte {
		return client.request(buf, "GET", "/v1/tickets?"+query, 1+customers+random.IntN(engineers), "")
	}
}

// anotherList asks for the open tickets after a moment before all of them, so that no two
// requests share a list.
func (client crmClient) anotherList(buf []byte, random *rand.Rand) []byte {
	return client.list(fmt.Sprintf("%s&created_after=2000-01-01T00:00:00.%09dZ", openList, random.IntN(1e9)))(buf, random)
}

// turn returns the number of the next ticket, and how often all were taken before.
func (client crmClient) turn() (ticket, round int) {
	n := int(client.next.Add(1))
	return 1 + n%openTickets, n / openTickets
}

// accept, comment and patch append requests of the ticket's assignee.

func (client crmClient) accept(buf []byte, _ *rand.Rand) []byte {
	t, _ := client.turn()
	return client.request(buf, "POST", "/v1/tickets/"+id(ticketIDs, t)+"/accept", assigneeOf(t), "")
}

func (client crmClient) comment(buf []byte, _ *rand.Rand) []byte {
	t, _ := client.turn()
	return client.request(buf, "POST", "/v1/tickets/"+id(ticketIDs, t)+"/comments", assigneeOf(t), `{"body":"`+commentText+`"}`)
}

func (client crmClient) patch(buf []byte, _ *rand.Rand) []byte {
	t, round := client.turn()
	priority := "urgent"
	if round%2 == 1 {
		priority = "low"
	}
	return client.request(buf, "PATCH", "/v1/tickets/"+id(ticketIDs, t), assigneeOf(t), `{"priority":"`+priority+`"}`)
}

func (client crmClient) request(buf []byte, method, path string, person int, body string) []byte {
	buf = append(buf, method+" "+path+" HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "...)
	buf = append(buf, client.tokens[person]...)
	if body != "" {
		buf = append(buf, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		buf = strconv.AppendInt(buf, int64(len(body)), 10)
	}
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}

// do makes one request and fails at an answer other than 2xx.
func (client crmClient) do(ctx context.Context, method, path string, person int, body string) ([]byte, error) {
	status, answer, err := ask(ctx, client.addr, client.request(nil, method, path, person, body))
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("%s %s is answered %d: %s", method, path, status, answer)
	}
	return answer, err
}

// comparison is one request that is measured against a script of pgbench.
type comparison struct {
	name, work string
	script     string // of the yardstick
	conns      int
	bar        float64
	request    func(crmClient) func([]byte, *rand.Rand) []byte
	raises     bool // the rate is that of new tickets, see bound
	// before brings both databases into the same state before each turn.
	before string
}

const openList = "limit=20&status=open"

var reads = []comparison{
	{
		name: "create", work: "`POST /v1/tickets`, 16 connections", script: "create", conns: connections, bar: 0.90, raises: true,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.create },
	}, {
		name: "get", work: "`GET /v1/tickets/{id}`, 16 connections", script: "get", conns: connections, bar: 0.50,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.get },
	}, {
		name: "get128", work: "`GET /v1/tickets/{id}`, 128 connections", script: "get", conns: manyConnections, bar: 0.80,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.get },
	}, {
		name: "list", work: "`GET /v1/tickets?limit=20&status=open`, 16 connections", script: "list", conns: connections, bar: 0.45,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.list(openList) },
	}, {
		name: "lists", work: "the same, each asking for another list", script: "list", conns: connections, bar: 0.45,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.anotherList },
	},
}

var actions = []comparison{
	{
		name: "accept", work: "`POST /v1/tickets/{id}/accept`, 16 connections", script: "accept", conns: connections, bar: 0.60,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.accept },
		before:  openAgain,
	}, {
		name: "comment", work: "`POST /v1/tickets/{id}/comments`, 16 connections", script: "comment", conns: connections, bar: 0.60,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.comment },
	}, {
		name: "patch", work: "`PATCH /v1/tickets/{id}`, 16 connections", script: "patch", conns: connections, bar: 0.60,
		request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.patch },
	},
}

// openAgain opens all tickets, without the triggers: an active one stays active.
const openAgain = `set session_replication_role = replica;
update tickets set status = 'open', resolution = null, accepted_at = null, resolved_at = null, closed_at = null, blocked_reason = null, waiting_for = null
where status <> 'open'`

// sides are two copies of one database: ours has a CRM, without a notification
// service, so that both do the same work.
type sides struct {
	client          crmClient
	ours, yardstick string
}

func (s *stack) makeSides(ctx context.Context, name string) (sides, error) {
	both := sides{ours: name + "_ours", yardstick: name + "_yardstick"}
	for _, database := range []string{both.ours, both.yardstick} {
		if err := s.clone(ctx, database, name); err != nil {
			return both, err
		}
	}
	crm, err := s.startCRM(ctx, both.ours, closedURL)
	if err != nil {
		return both, err
	}
	both.client, err = s.client(crm.Address, smallTickets)
	return both, err
}

func (s *stack) client(addr string, tickets int) (crmClient, error) {
	tokens, err := s.tokens()
	return crmClient{addr: addr, tokens: tokens, tickets: tickets, next: new(atomic.Int64)}, err
}

// makeOpenTickets makes a database whose tickets are all open.
func (s *stack) makeOpenTickets(ctx context.Context, database string) error {
	if err := s.makeTickets(ctx, database, openTickets); err != nil {
		return err
	}
	return s.execute(ctx, database, openAgain, "set session_replication_role = origin", settleTickets, "vacuum analyze")
}

func (s *stack) execute(ctx context.Context, database string, statements ...string) error {
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

func measureTickets(ctx context.Context, s *stack, o options) ([]line, error) {
	if err := s.makeTickets(ctx, "tickets", smallTickets); err != nil {
		return nil, err
	}
	both, err := s.makeSides(ctx, "tickets")
	if err != nil {
		return nil, err
	}
	lines := s.compareAll(ctx, o, both, reads)
	for _, u := range []unchanged{
		{work: "`GET /v1/tickets?limit=20&status=open` with If-None-Match, unchanged (yardstick: without)", bar: 1.5, requests: both.client.lists()},
		{work: "`GET /v1/tickets/{id}` with If-None-Match, unchanged (yardstick: without)", requests: both.client.oneTicket()},
	} {
		l, err := s.measureUnchanged(ctx, o, both.client, u)
		if err != nil {
			l = line{work: u.work, note: err.Error()}
		}
		lines = append(lines, l)
	}
	return lines, ctx.Err()
}

func measureActions(ctx context.Context, s *stack, o options) ([]line, error) {
	if err := s.makeOpenTickets(ctx, "actions"); err != nil {
		return nil, err
	}
	both, err := s.makeSides(ctx, "actions")
	if err != nil {
		return nil, err
	}
	return s.compareAll(ctx, o, both, actions), ctx.Err()
}

func (s *stack) compareAll(ctx context.Context, o options, both sides, list []comparison) []line {
	var lines []line
	for _, c := range list {
		l, err := s.compare(ctx, o, both, c)
		if err != nil {
			l = line{work: c.work, note: err.Error()}
		}
		lines = append(lines, l)
	}
	return lines
}

// bound returns the yardstick's rate. When all engineers are locked by others, the
// statement that raises a ticket raises none; the service repeats it and pgbench
// doesn't, so with raises the rate is that of tickets.
func (s *stack) bound(ctx context.Context, o options, database string, yardstick *pgbench, c comparison) (rate float64, err error) {
	err = s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		const newest = "select max(number)::float8 from tickets"
		var before, after, transactions float64
		if err := conn.QueryRow(ctx, newest).Scan(&before); err != nil {
			return err
		}
		if rate, transactions, err = yardstick.run(ctx, c.conns, o.round); err != nil || !c.raises {
			return err
		}
		if err := conn.QueryRow(ctx, newest).Scan(&after); err != nil {
			return err
		}
		rate *= (after - before) / transactions
		return nil
	})
	return rate, err
}

func (s *stack) compare(ctx context.Context, o options, both sides, c comparison) (line, error) {
	yardstick, err := s.yardstick(c.script, both.yardstick)
	if err != nil {
		return line{}, err
	}
	ours := load{addr: both.client.addr, conns: c.conns, request: c.request(both.client)}
	if _, err := ours.run(ctx, time.Second); err != nil { // warm up
		return line{}, err
	}
	var rates, bounds []float64
	note := ""
	for range o.turns {
		if err := s.reset(ctx, both, c); err != nil {
			return line{}, err
		}
		bound, err := s.bound(ctx, o, both.yardstick, yardstick, c)
		if err != nil {
			return line{}, err
		}
		before := s.spent()
		got, err := ours.run(ctx, o.round)
		if err != nil {
			return line{}, err
		}
		note = before.perRequest(s.spent(), len(got.took))
		rates, bounds = append(rates, got.rate), append(bounds, bound)
		progress("  %s: %.0f/s, pgbench %.0f/s; %s", c.name, got.rate, bound, note)
	}
	l := atLeast(c.work, rates, bounds, c.bar, "/s")
	l.note = note
	return l, nil
}

func (s *stack) reset(ctx context.Context, both sides, c comparison) error {
	if c.before == "" {
		return nil
	}
	both.client.next.Store(0)
	for _, database := range []string{both.ours, both.yardstick} {
		if err := s.execute(ctx, database, c.before); err != nil {
			return fmt.Errorf("reset %s: %w", database, err)
		}
	}
	return nil
}

// unchanged are requests whose answers the client has.
type unchanged struct {
	work     string
	bar      float64
	requests [][]byte
}

// lists are the requests of all engineers for the open tickets.
func (client crmClient) lists() [][]byte {
	requests := make([][]byte, engineers)
	for i := range requests {
		requests[i] = client.request(nil, "GET", "/v1/tickets?"+openList, 1+customers+i, "")
	}
	return requests
}

// oneTicket is the request of its reporter for a ticket.
func (client crmClient) oneTicket() [][]byte {
	const ticket = 1
	return [][]byte{client.request(nil, "GET", "/v1/tickets/"+id(ticketIDs, ticket), reporterOf(ticket), "")}
}

// measureUnchanged compares requests of clients that have the answers already with the
// same requests of clients that have none.
func (s *stack) measureUnchanged(ctx context.Context, o options, client crmClient, u unchanged) (line, error) {
	conditional := make([][]byte, len(u.requests))
	for i, plain := range u.requests {
		tag, err := entityTag(ctx, client.addr, plain)
		if err != nil {
			return line{}, err
		}
		conditional[i] = append(bytes.Clone(plain[:len(plain)-2]), "If-None-Match: "+tag+"\r\n\r\n"...)
	}
	anyOf := func(requests [][]byte) load {
		return load{addr: client.addr, conns: connections, request: func(buf []byte, random *rand.Rand) []byte {
			return append(buf, requests[random.IntN(len(requests))]...)
		}}
	}
	with, without := anyOf(conditional), anyOf(u.requests)
	with.unchanged = true
	var rates, bounds []float64
	note := ""
	for range o.turns {
		whole, err := without.run(ctx, o.round)
		if err != nil {
			return line{}, err
		}
		before := s.spent()
		got, err := with.run(ctx, o.round)
		if err != nil {
			return line{}, err
		}
		note = before.perRequest(s.spent(), len(got.took))
		rates, bounds = append(rates, got.rate), append(bounds, whole.rate)
		progress("  unchanged: %.0f/s, whole %.0f/s; %s", got.rate, whole.rate, note)
	}
	l := atLeast(u.work, rates, bounds, u.bar, "/s")
	l.note = note
	return l, nil
}

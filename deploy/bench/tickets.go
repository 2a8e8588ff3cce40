package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	connections  = 16
	smallTickets = 10_000
)

// crmClient makes requests to a CRM on a database of so many tickets.
type crmClient struct {
	addr    string
	tokens  []string
	tickets int
}

// get, create and list append requests. A ticket is read by its reporter,
// lists are an engineer's, who may see all.

func (client crmClient) get(buf []byte, random *rand.Rand) []byte {
	ticket := 1 + random.IntN(client.tickets)
	return client.request(buf, "GET", fmt.Sprintf("/v1/tickets/%s", id(ticketIDs, ticket)), reporterOf(ticket), "")
}

const newTicket = `{"title":"The printer on the second floor","description":"It takes the paper, pulls it halfway through and stops. It has done so since Monday, and everybody here has tried to switch it off and on again."}`

func (client crmClient) create(buf []byte, random *rand.Rand) []byte {
	return client.request(buf, "POST", "/v1/tickets", 1+random.IntN(customers), newTicket)
}

func (client crmClient) list(query string) func([]byte, *rand.Rand) []byte {
	return func(buf []byte, random *rand.Rand) []byte {
		return client.request(buf, "GET", "/v1/tickets?"+query, 1+customers+random.IntN(engineers), "")
	}
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

// comparison is one request that is measured against its own statements.
type comparison struct {
	name, work string
	bar        float64
	request    func([]byte, *rand.Rand) []byte
	set        string            // pgbench's choice of person and ticket
	known      map[string]string // pgbench's expressions of values in sample
	sample     []byte
}

func (client crmClient) comparisons() []comparison {
	const person, ticket = 7, 6 // ticket 6 is person 7's
	engineer := 1 + customers
	byPerson := func(n int) map[string]string {
		return map[string]string{id(userIDs, n): numbered(userIDs, "c"), id(sessionIDs, n): numbered(sessionIDs, "c")}
	}
	ofTicket := byPerson(person)
	ofTicket[id(ticketIDs, ticket)] = numbered(ticketIDs, "t")
	return []comparison{
		{
			name: "create", work: "`POST /v1/tickets`, 16 connections", bar: 0.70, request: client.create,
			set: fmt.Sprintf("\\set c random(1, %d)", customers), known: byPerson(person),
			sample: client.request(nil, "POST", "/v1/tickets", person, newTicket),
		}, {
			name: "get", work: "`GET /v1/tickets/{id}`, 16 connections", bar: 0.40, request: client.get,
			set:   fmt.Sprintf("\\set t random(1, %d)\n\\set c case when :t %% 20 = 0 then %d else 1 + :t %% %d end", client.tickets, busyReporter, customers),
			known: ofTicket, sample: client.request(nil, "GET", "/v1/tickets/"+id(ticketIDs, ticket), person, ""),
		}, {
			name: "list", work: "`GET /v1/tickets?limit=20&status=open`, 16 connections", bar: 0.50,
			request: client.list("limit=20&status=open"),
			set:     fmt.Sprintf("\\set c random(%d, %d)", engineer, customers+engineers), known: byPerson(engineer),
			sample: client.request(nil, "GET", "/v1/tickets?limit=20&status=open", engineer, ""),
		},
	}
}

// measureTickets runs the CRM on one copy of a database and pgbench on
// another. There is no notification service, so that both do the same work.
func measureTickets(ctx context.Context, s *stack, o options) ([]line, error) {
	if err := s.makeTickets(ctx, "tickets", smallTickets); err != nil {
		return nil, err
	}
	for _, name := range []string{"tickets_ours", "tickets_yardstick"} {
		if err := s.clone(ctx, name, "tickets"); err != nil {
			return nil, err
		}
	}
	crm, err := s.startCRM(ctx, "tickets_ours", closedURL)
	if err != nil {
		return nil, err
	}
	client := crmClient{addr: crm.Address, tickets: smallTickets}
	if client.tokens, err = s.tokens(); err != nil {
		return nil, err
	}
	var lines []line
	for _, c := range client.comparisons() {
		l, err := s.compare(ctx, o, client, c)
		if err != nil {
			l = line{work: c.work, note: err.Error()}
		}
		lines = append(lines, l)
	}
	return lines, ctx.Err()
}

// bound returns the yardstick's rate. When all engineers are locked by others, the
// statement that raises a ticket raises none; the service repeats it and pgbench
// doesn't, so with raises the rate is that of tickets.
func (s *stack) bound(ctx context.Context, o options, yardstick *pgbench, raises bool) (rate float64, err error) {
	err = s.inDatabase(ctx, "tickets_yardstick", func(conn *pgx.Conn) error {
		const newest = "select max(number)::float8 from tickets"
		var before, after, transactions float64
		if err := conn.QueryRow(ctx, newest).Scan(&before); err != nil {
			return err
		}
		if rate, transactions, err = yardstick.run(ctx, connections, o.round); err != nil || !raises {
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

func (s *stack) compare(ctx context.Context, o options, client crmClient, c comparison) (line, error) {
	statements, err := s.statementsOf(ctx, func() error {
		// A constant request id, since script replaces every UUID.
		sample := bytes.Replace(c.sample, []byte("\r\n"), []byte("\r\nX-Request-ID: bench\r\n"), 1)
		status, body, err := ask(ctx, client.addr, sample)
		if err == nil && status > 299 {
			err = fmt.Errorf("the service answered %d: %s", status, body)
		}
		return err
	})
	if err != nil {
		return line{}, err
	}
	text, variables := script(statements, c.set, c.known)
	yardstick, err := s.newPgbench(c.name, "tickets_yardstick", text, variables)
	if err != nil {
		return line{}, err
	}
	ours := load{addr: client.addr, conns: connections, request: c.request}
	if _, err := ours.run(ctx, time.Second); err != nil { // warm up
		return line{}, err
	}
	var rates, bounds []float64
	for range o.turns {
		bound, err := s.bound(ctx, o, yardstick, c.name == "create")
		if err != nil {
			return line{}, err
		}
		got, err := ours.run(ctx, o.round)
		if err != nil {
			return line{}, err
		}
		rates, bounds = append(rates, got.rate), append(bounds, bound)
		progress("  %s: %.0f/s, pgbench %.0f/s", c.name, got.rate, bound)
	}
	l := atLeast(c.work, rates, bounds, c.bar, "/s")
	l.note = fmt.Sprintf("%d statements a request", len(statements))
	return l, nil
}

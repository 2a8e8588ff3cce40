package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// growthConns keeps the cores busy without queueing, so that the times measured are
// those of work and not of waiting.
const growthConns = 2

// growthBar is by how much the 99th percentile may grow.
const growthBar = 1.5

// growthLimit is the longest 99th percentile, on the large side, of an operation
// that reads in proportion to the size of the database.
const growthLimit = 300 * time.Millisecond

// operation is a request that is measured on both sides.
type operation struct {
	name    string
	request func(crmClient) func([]byte, *rand.Rand) []byte
	limited bool // by growthLimit instead of growthBar
	// firstByte measures until the first byte of the body.
	firstByte bool
}

var operations = []operation{
	{name: "get", request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.get }},
	{name: "list", request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.list("limit=20") }},
	{name: "filter", request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.list("limit=20&status=open,blocked&priority=urgent")
	}},
	{name: "search for a rare word", request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.searchRare }},
	{name: "search for a common word", request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.list("limit=20&q=printer") }},
	{name: "create", request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.create }},
	{name: "totals", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.counts("") }},
	{name: "totals of a common word", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte { return client.counts("?q=printer") }},
	{name: "a common word by relevance", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.list("limit=20&sort=relevance&q=printer")
	}},
	{name: "a rare word by relevance", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.list("limit=20&sort=relevance&q=unicum00000077")
	}},
	{name: "a rare word among each twentieth ticket, one reporter's", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.list("limit=20&q=unicum00000080&reporter=" + id(userIDs, busyReporter))
	}},
	{name: "a common word among each twentieth ticket, one reporter's", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.list("limit=20&q=printer&reporter=" + id(userIDs, busyReporter))
	}},
	{name: "that reporter's own search by relevance", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return func(buf []byte, _ *rand.Rand) []byte {
			return client.request(buf, "GET", "/v1/tickets?limit=20&sort=relevance&q=printer", busyReporter, "")
		}
	}},
	{name: "users by a common word", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.asAdmin("/v1/users?limit=20&q=customer")
	}},
	{name: "users by a rare word", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.asAdmin("/v1/users?limit=20&q=customer777@")
	}},
	{name: "the first byte of all as CSV", limited: true, firstByte: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.asAdmin("/v1/tickets/export")
	}},
	{name: "the first byte of all as CSV by update", limited: true, firstByte: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.asAdmin("/v1/tickets/export?sort=-updated_at")
	}},
	{name: "a report on a year", limited: true, request: func(client crmClient) func([]byte, *rand.Rand) []byte {
		return client.asAdmin("/v1/reports/tickets?from=" + time.Now().AddDate(0, 0, -364).UTC().Format(time.DateOnly))
	}},
}

// asAdmin reads a path as the admin.
func (client crmClient) asAdmin(path string) func([]byte, *rand.Rand) []byte {
	return func(buf []byte, _ *rand.Rand) []byte { return client.request(buf, "GET", path, admin, "") }
}

// counts reads the totals of a list, as an engineer.
func (client crmClient) counts(query string) func([]byte, *rand.Rand) []byte {
	return func(buf []byte, random *rand.Rand) []byte {
		return client.request(buf, "GET", "/v1/tickets/counts"+query, 1+customers+random.IntN(engineers), "")
	}
}

// searchRare searches for words that are in ten tickets each.
func (client crmClient) searchRare(buf []byte, random *rand.Rand) []byte {
	word := fmt.Sprintf("unicum%08d", random.IntN(client.tickets/10))
	return client.list("limit=20&q="+word)(buf, random)
}

// measureGrowth sends the same requests to a CRM on each of two databases, in many
// short turns, and compares the times.
func measureGrowth(ctx context.Context, s *stack, o options) ([]line, error) {
	sides := []crmClient{{tickets: smallTickets}, {tickets: o.size}}
	var databases []string
	for i := range sides {
		database, err := s.filledWith(ctx, sides[i].tickets)
		if err != nil {
			return nil, err
		}
		databases = append(databases, database)
		crm, err := s.startCRM(ctx, database, closedURL)
		if err != nil {
			return nil, err
		}
		sides[i].addr = crm.Address
		if sides[i].tokens, err = s.tokens(); err != nil {
			return nil, err
		}
	}
	for _, database := range databases {
		if err := s.waitForReportDays(ctx, database); err != nil {
			return nil, err
		}
	}
	var lines []line
	for _, op := range operations {
		l, err := growthOf(ctx, o, op, sides)
		if err != nil {
			l = line{work: op.name, note: err.Error()}
		}
		lines = append(lines, l)
	}
	return lines, ctx.Err()
}

// waitForReportDays waits until the CRM has stored the figures of all days that
// are over, as it has in operation.
func (s *stack) waitForReportDays(ctx context.Context, database string) error {
	began := time.Now()
	err := s.waitUntilNone(ctx, database, `select exists (select from
generate_series((select min(created_at) from tickets)::date, (now() - interval '2 hours')::date - 1, interval '1 day') d
where not exists (select from ticket_report_days r where r.day = d))`)
	if err == nil {
		progress("  the days for reports were stored in %s", time.Since(began).Round(time.Second))
	}
	return err
}

func growthOf(ctx context.Context, o options, op operation, sides []crmClient) (line, error) {
	const turns = 10
	times := make([][]float64, len(sides))
	for turn := range turns + 1 {
		for i, side := range sides {
			l := load{addr: side.addr, conns: growthConns, request: op.request(side), firstByte: op.firstByte}
			got, err := l.run(ctx, o.round*time.Duration(o.turns)/turns/4)
			if err != nil {
				return line{}, err
			}
			if turn > 0 { // the first warms up
				times[i] = append(times[i], got.took...)
			}
		}
	}
	describe := func(took []float64) string {
		return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms", quantile(took, 0.5)*1000, quantile(took, 0.99)*1000)
	}
	ratio := quantile(times[1], 0.99) / quantile(times[0], 0.99)
	progress("  %s: %s; small: %s", op.name, describe(times[1]), describe(times[0]))
	bar, met := fmt.Sprintf("p99 ≤ %.1f", growthBar), ratio <= growthBar
	if op.limited {
		bar, met = fmt.Sprintf("p99 ≤ %d ms", growthLimit.Milliseconds()), quantile(times[1], 0.99) <= growthLimit.Seconds()
	}
	return line{
		work: fmt.Sprintf("%s at %d tickets (yardstick: at %d)", op.name, sides[1].tickets, sides[0].tickets),
		ours: describe(times[1]), yardstick: describe(times[0]), ratio: ratio,
		bar: bar, met: met,
	}, nil
}

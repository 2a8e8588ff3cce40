package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fixdesk/pkg/jwtauth"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// The people of each database. Ids are made from numbers, so that the benchmark
// and pgbench know each without a query.
const (
	customers = 200
	engineers = 40
	admin     = customers + engineers + 1
)

// busyReporter raised each twentieth ticket: 50,000 of a million.
const busyReporter = 1

// The prefixes of ids, by kind.
const (
	userIDs    = "00000000-0000-0000-0001-"
	sessionIDs = "00000000-0000-0000-0002-"
	ticketIDs  = "00000000-0000-0000-0003-"
)

func id(kind string, number int) string { return fmt.Sprintf("%s%012d", kind, number) }

// reporterOf returns the customer who raised a ticket. Customers have the numbers
// from 1, engineers those after them.
func reporterOf(ticket int) int {
	if ticket%20 == 0 {
		return busyReporter
	}
	return 1 + ticket%customers
}

// assigneeOf returns the engineer whose ticket it is in a new database.
func assigneeOf(ticket int) int { return 1 + customers + ticket/100%engineers }

// tokens signs an access token for each person's session, at the person's number.
func (s *stack) tokens() ([]string, error) {
	tokens := []string{""}
	for n := 1; n <= admin; n++ {
		token, err := s.token(n)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

func (s *stack) token(person int) (string, error) {
	return jwtauth.NewSigner(func() *jwtauth.KeySet { return s.keys }).Sign(jwtauth.Claims{
		Issuer: "fixdesk", Subject: id(userIDs, person), Audience: "fixdesk", SessionID: id(sessionIDs, person),
		ID: fmt.Sprint(person), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
	})
}

// makeTickets makes a database of the CRM that holds tickets.
func (s *stack) makeTickets(ctx context.Context, database string, tickets int) error {
	if err := s.makeDatabase(ctx, database, "crm"); err != nil {
		return err
	}
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		for _, statement := range []string{people, fmt.Sprintf(morePeople, tickets/10)} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("store people: %w", err)
			}
		}
		return s.loadTickets(ctx, conn, database, tickets)
	})
}

// filledWith returns a database of so many tickets. Measurements share it, and may
// add some.
func (s *stack) filledWith(ctx context.Context, tickets int) (string, error) {
	database := fmt.Sprintf("growth_%d", tickets)
	if slices.Contains(s.filled, database) {
		return database, nil
	}
	progress("  storing %d tickets", tickets)
	if err := s.makeTickets(ctx, database, tickets); err != nil {
		return "", err
	}
	s.filled = append(s.filled, database)
	return database, nil
}

// makeDatabase makes a database with the schema of a service.
func (s *stack) makeDatabase(ctx context.Context, database, service string) error {
	if _, err := s.admin.Exec(ctx, "create database "+database); err != nil {
		return err
	}
	return s.migrate(ctx, database, service)
}

// dropDatabases drops what a measurement leaves, save what several use: PostgreSQL would
// vacuum it during the next one.
func (s *stack) dropDatabases(ctx context.Context) error {
	const left = "select datname from pg_database where not datistemplate and datname <> 'postgres' and datname <> all(coalesce($1::text[], '{}'))"
	rows, err := s.admin.Query(ctx, left, s.filled)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.admin.Exec(ctx, "drop database "+pgx.Identifier{name}.Sanitize()+" with (force)"); err != nil {
			return err
		}
	}
	return nil
}

// clone copies a database that has no connections.
func (s *stack) clone(ctx context.Context, database, template string) error {
	_, err := s.admin.Exec(ctx, "create database "+database+" template "+template)
	return err
}

func (s *stack) inDatabase(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.postgres.URL(database))
	if err != nil {
		return err
	}
	return errors.Join(do(conn), conn.Close(context.WithoutCancel(ctx)))
}

// loadTickets writes without indexes and triggers and then makes the indexes,
// both on two connections, since a million rows would take minutes otherwise.
func (s *stack) loadTickets(ctx context.Context, conn *pgx.Conn, database string, tickets int) error {
	indexes, err := column(ctx, conn, indexesOfTickets)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, dropIndexesOfTickets); err != nil {
		return err
	}
	half := tickets / 2
	if err := s.concurrently(ctx, database, [][]string{
		{fmt.Sprintf(someTickets, 1, half, tickets)}, {fmt.Sprintf(someTickets, half+1, tickets, tickets)},
	}); err != nil {
		return fmt.Errorf("store tickets: %w", err)
	}
	// The two inverted indexes cost as much as all others.
	var inverted, others []string
	for _, statement := range indexes {
		if strings.Contains(statement, "USING gin") {
			inverted = append(inverted, statement)
		} else {
			others = append(others, statement)
		}
	}
	others = append([]string{someComments, fmt.Sprintf(someEvents, tickets)}, others...)
	if err := s.concurrently(ctx, database, [][]string{inverted, others}); err != nil {
		return fmt.Errorf("index tickets: %w", err)
	}
	for _, statement := range []string{settleTickets, "vacuum analyze", "checkpoint"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// concurrently runs the lists of statements at the same time, each on its own
// connection.
func (s *stack) concurrently(ctx context.Context, database string, lists [][]string) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, list := range lists {
		all.Go(func() error {
			return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
				for _, statement := range list {
					if _, err := conn.Exec(ctx, statement); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	return all.Wait()
}

func column(ctx context.Context, conn *pgx.Conn, query string) ([]string, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

const people = `
insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
select ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, 'Person ' || n, 'person' || n || '@example.com',
    'person ' || n || ' person' || n || '@example.com', '-',
    (case when n <= 200 then 'customer' when n <= 240 then 'engineer' else 'admin' end)::user_role, 'approved', now(), now()
from generate_series(1, 241) n;
insert into engineers (user_id) select id from users where role = 'engineer';
insert into sessions (id, user_id, created_at, expires_at, used_at)
select ('00000000-0000-0000-0002-' || lpad(n::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, now(), now() + interval '1 day', now()
from generate_series(1, 241) n`

// morePeople are customers who raised nothing.
const morePeople = `
insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
select ('00000000-0000-0000-0001-' || lpad((1000 + n)::text, 12, '0'))::uuid, 'Customer ' || n, 'customer' || n || '@example.net',
    'customer ' || n || ' customer' || n || '@example.net', '-', 'customer', 'approved', now() - n * interval '1 minute', now()
from generate_series(1, %d) n`

const indexesOfTickets = `select indexdef from pg_indexes
where tablename in ('tickets', 'ticket_comments', 'ticket_search', 'ticket_events') and indexname not like '%_pkey' and indexname <> 'tickets_number_key'`

const dropIndexesOfTickets = `do $$ declare i text; begin
for i in select indexname from pg_indexes
    where tablename in ('tickets', 'ticket_comments', 'ticket_search', 'ticket_events') and indexname not like '%_pkey' and indexname <> 'tickets_number_key'
loop execute 'drop index ' || quote_ident(i); end loop; end $$`

// someTickets inserts the tickets %[1]d to %[2]d of %[3]d, one in 31 seconds up to
// now, so that a million fill a year: 3 in 100 are open, 3 in progress or blocked,
// most of the rest closed. Every second one has the word printer; each word unicum…
// is in ten.
const someTickets = `set session_replication_role = replica;
insert into tickets (id, title, description, status, priority, reporter_id, assignee_id, resolution,
    created_at, updated_at, accepted_at, resolved_at, closed_at)
select ('00000000-0000-0000-0003-' || lpad(n::text, 12, '0'))::uuid, title, description,
    status::ticket_status, (array['low', 'normal', 'normal', 'high', 'urgent'])[1 + n %% 5]::ticket_priority,
    ('00000000-0000-0000-0001-' || lpad((case when n %% 20 = 0 then 1 else 1 + n %% 200 end)::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0001-' || lpad((201 + n / 100 %% 40)::text, 12, '0'))::uuid,
    case when status in ('resolved', 'closed') then 'Done.' end, at, at, at,
    case when status in ('resolved', 'closed') then at end, case when status = 'closed' then at end
from (select n, now() - (%[3]d - n) * interval '31 seconds' as at,
        'Ticket ' || n || case when n %% 2 = 0 then ' about a printer' else ' about a screen' end as title,
        concat_ws(' ', 'It', 'word' || n * 31 %% 5003, 'and then', 'word' || n * 17 %% 4999, 'while the', 'word' || n * 7 %% 997,
            'smells of', 'word' || n * 3 %% 101, 'which nobody', 'word' || n * 13 %% 7919, 'has ever seen before the',
            'word' || n * 11 %% 31, 'unicum' || lpad((n %% greatest(%[3]d / 10, 1))::text, 8, '0')) as description,
        case when n * 7919 %% 100 < 3 then 'open' when n * 7919 %% 100 < 5 then 'in_progress'
            when n * 7919 %% 100 < 6 then 'blocked' when n * 7919 %% 100 < 12 then 'resolved' else 'closed' end as status
    from generate_series(%[1]d::bigint, %[2]d) n offset 0) t;
insert into ticket_search (ticket_id, search, folding)
select id, setweight(to_tsvector('simple', lower(title)), 'A') || setweight(to_tsvector('simple', lower(description)), 'B'), 1
from tickets where id between ('00000000-0000-0000-0003-' || lpad('%[1]d', 12, '0'))::uuid and ('00000000-0000-0000-0003-' || lpad('%[2]d', 12, '0'))::uuid`

// someComments inserts a comment for each tenth ticket.
const someComments = `set session_replication_role = replica;
insert into ticket_comments (id, ticket_id, author_id, body, search, folding, created_at)
select gen_random_uuid(), t.id, t.reporter_id, c.body, to_tsvector('simple', lower(c.body)), 1, t.created_at
from tickets t cross join lateral (select 'Still word' || t.number % 5003 || ', and the printer too' as body) c
where t.number % 10 = 0`

// someEvents inserts, for each ticket, its creation, its acceptance within a day and
// its resolution within a week of that, and for each fiftieth its reopening, in
// the order of time, as far as that is over.
const someEvents = `set session_replication_role = replica;
insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at, position)
select ('00000000-0000-0000-0004-' || lpad(position::text, 12, '0'))::uuid, ticket_id, kind, actor_id, changes::jsonb, at, position
from (
    select e.*, row_number() over (order by e.at) as position
    from (select t.*, t.created_at + (t.number * 7919 %% 86400) * interval '1 second' as accepted,
              t.created_at + (t.number * 7919 %% 86400 + t.number * 104729 %% 604800) * interval '1 second' as resolved from tickets t) t
    cross join lateral (values
        (t.id, 'created', t.reporter_id, '{"title": {"from": null, "to": "Ticket"}}', t.created_at, true),
        (t.id, 'accepted', t.assignee_id, '{"status": {"from": "open", "to": "in_progress"}}', t.accepted, t.status <> 'open'),
        (t.id, 'status_changed', t.assignee_id, '{"status": {"from": "in_progress", "to": "resolved"}}', t.resolved, t.status in ('resolved', 'closed')),
        (t.id, 'reopened', t.reporter_id, '{"status": {"from": "resolved", "to": "open"}}', t.resolved + interval '1 hour', t.number %% 50 = 0 and t.status in ('resolved', 'closed'))
    ) e (ticket_id, kind, actor_id, changes, at, happened)
    where e.happened and e.at <= now()
) e
order by position;
select setval('ticket_event_positions', 4 * %d)`

const settleTickets = `update engineers e set active_tickets =
    (select count(*) from tickets t where t.assignee_id = e.user_id and ticket_is_active(t.status));
insert into ticket_counts (status, priority, assignee_id, tickets) select status, priority, assignee_id, count(*) from tickets group by 1, 2, 3`

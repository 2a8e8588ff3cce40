package main

import (
	"context"
	"errors"
	"fmt"
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
)

// The prefixes of ids, by kind.
const (
	userIDs    = "00000000-0000-0000-0001-"
	sessionIDs = "00000000-0000-0000-0002-"
	ticketIDs  = "00000000-0000-0000-0003-"
)

func id(kind string, number int) string { return fmt.Sprintf("%s%012d", kind, number) }

// reporterOf returns the customer who raised a ticket. Customers have the numbers
// from 1, engineers those after them.
func reporterOf(ticket int) int { return 1 + ticket%customers }

// tokens signs an access token for each person's session, at the person's number.
func (s *stack) tokens() ([]string, error) {
	signer := jwtauth.NewSigner(func() *jwtauth.KeySet { return s.keys })
	tokens := []string{""}
	for n := 1; n <= customers+engineers; n++ {
		token, err := signer.Sign(jwtauth.Claims{
			Issuer: "fixdesk", Subject: id(userIDs, n), Audience: "fixdesk", SessionID: id(sessionIDs, n),
			ID: fmt.Sprint(n), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
		})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// makeTickets makes a database of the CRM that holds tickets.
func (s *stack) makeTickets(ctx context.Context, database string, tickets int) error {
	if err := s.makeDatabase(ctx, database, "crm"); err != nil {
		return err
	}
	return s.inDatabase(ctx, database, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, people); err != nil {
			return fmt.Errorf("store people: %w", err)
		}
		return s.loadTickets(ctx, conn, database, tickets)
	})
}

// makeDatabase makes a database with the schema of a service.
func (s *stack) makeDatabase(ctx context.Context, database, service string) error {
	if _, err := s.admin.Exec(ctx, "create database "+database); err != nil {
		return err
	}
	return s.migrate(ctx, database, service)
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
	others = append([]string{fmt.Sprintf(someComments, tickets)}, others...)
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
    (case when n <= 200 then 'customer' else 'engineer' end)::user_role, 'approved', now(), now()
from generate_series(1, 240) n;
insert into engineers (user_id) select id from users where role = 'engineer';
insert into sessions (id, user_id, created_at, expires_at, used_at)
select ('00000000-0000-0000-0002-' || lpad(n::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, now(), now() + interval '1 day', now()
from generate_series(1, 240) n`

const indexesOfTickets = `select indexdef from pg_indexes
where tablename in ('tickets', 'ticket_comments', 'ticket_search') and indexname not like '%_pkey' and indexname <> 'tickets_number_key'`

const dropIndexesOfTickets = `do $$ declare i text; begin
for i in select indexname from pg_indexes
    where tablename in ('tickets', 'ticket_comments', 'ticket_search') and indexname not like '%_pkey' and indexname <> 'tickets_number_key'
loop execute 'drop index ' || quote_ident(i); end loop; end $$`

// someTickets inserts the tickets %[1]d to %[2]d of %[3]d, one for each second up to
// now: 3 in 100 are open, 3 in progress or blocked, most of the rest closed. Every
// second one has the word printer; each word unicum… is in ten.
const someTickets = `set session_replication_role = replica;
insert into tickets (id, title, description, status, priority, reporter_id, assignee_id, resolution,
    created_at, updated_at, accepted_at, resolved_at, closed_at)
select ('00000000-0000-0000-0003-' || lpad(n::text, 12, '0'))::uuid, title, description,
    status::ticket_status, (array['low', 'normal', 'normal', 'high', 'urgent'])[1 + n %% 5]::ticket_priority,
    ('00000000-0000-0000-0001-' || lpad((1 + n %% 200)::text, 12, '0'))::uuid,
    ('00000000-0000-0000-0001-' || lpad((201 + n / 100 %% 40)::text, 12, '0'))::uuid,
    case when status in ('resolved', 'closed') then 'Done.' end, at, at, at,
    case when status in ('resolved', 'closed') then at end, case when status = 'closed' then at end
from (select n, now() - (%[3]d - n) * interval '1 second' as at,
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

// someComments inserts a comment for each tenth ticket and an event for each ticket.
const someComments = `set session_replication_role = replica;
insert into ticket_comments (id, ticket_id, author_id, body, search, folding, created_at)
select gen_random_uuid(), t.id, t.reporter_id, c.body, to_tsvector('simple', lower(c.body)), 1, t.created_at
from tickets t cross join lateral (select 'Still word' || t.number %% 5003 || ', and the printer too' as body) c
where t.number %% 10 = 0;
insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at, position)
select gen_random_uuid(), t.id, 'created', t.reporter_id, '{"title": {"from": null, "to": "Ticket"}}', t.created_at, t.number
from tickets t;
select setval('ticket_event_positions', %[1]d)`

const settleTickets = `update engineers e set active_tickets =
    (select count(*) from tickets t where t.assignee_id = e.user_id and ticket_is_active(t.status))`

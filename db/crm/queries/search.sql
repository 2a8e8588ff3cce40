-- name: SearchFoldTicketsLock :many
-- Tickets whose words were made by older rules; the caller updates them. The lock
-- delays the writes of an older binary until the end of the transaction.
select ticket_id from ticket_search where folding < 1 order by ticket_id limit @most for update skip locked;

-- name: SearchFoldTicketsRead :many
select id, title, description from tickets where id = any(@ids::uuid[]);

-- name: SearchFoldTickets :exec
update ticket_search s
set search = setweight(to_tsvector('simple', n.title), 'A') || setweight(to_tsvector('simple', n.description), 'B'), folding = 1
from (select unnest(@ids::uuid[]) as id, unnest(@title_words::text[]) as title, unnest(@description_words::text[]) as description) n
where s.ticket_id = n.id;

-- name: SearchFoldCommentsRead :many
select id, body from ticket_comments where folding < 1 order by id limit @most for no key update skip locked;

-- name: SearchFoldComments :exec
update ticket_comments c
set search = to_tsvector('simple', n.words), folding = 1
from (select unnest(@ids::uuid[]) as id, unnest(@words::text[]) as words) n
where c.id = n.id;

-- name: DatabaseState :one
-- The completed transactions that this statement sees (PostgreSQL manual, 9.27.7), of
-- this server since its start.
select concat(pg_current_snapshot(), ' ', pg_postmaster_start_time())::text as state;

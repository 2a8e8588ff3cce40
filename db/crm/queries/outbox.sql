-- name: OutboxAdd :exec
insert into outbox (id, kind, reference, data, request_id, created_at)
values ($1, $2, $3, $4, $5, $6);

-- name: OutboxClaim :many
-- Due entries become the holder's until the lease runs out, by the database's
-- clock. An entry waits for the earlier ones about the same thing, save for one
-- that has failed often: that one must not hold up the rest for ever. (Two
-- replicas that claim in the same instant may still part two of them.) Neither claim
-- nor settlement waits for the disk: what a crash of the database forgets is
-- posted again under the same Idempotency-Key.
with due as materialized (
    select o.id from outbox o
    where o.done_at is null and o.dead_at is null and o.next_attempt_at <= now()
      and (o.leased_until is null or o.leased_until <= now())
      and (select e.id from outbox e
           where e.reference = o.reference and e.id < o.id and e.done_at is null
             and e.dead_at is null and e.attempts < sqlc.arg(patience)::int
             and (e.next_attempt_at > now() or e.leased_until > now())
           limit 1) is null
      and set_config('synchronous_commit', 'off', true) is not null
    order by o.next_attempt_at, o.id
    limit sqlc.arg(batch)::int
    for update of o skip locked
)
update outbox o
set lease_token = sqlc.arg(token)::uuid,
    leased_until = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
from due
where o.id = due.id
returning o.id, o.kind, o.reference, o.data, o.request_id, o.attempts;

-- name: OutboxFinish :execrows
-- The token of a password reset is kept no longer than it takes to post it.
update outbox
set done_at = now(), attempts = attempts + 1, last_error = null, lease_token = null, leased_until = null,
    data = case when kind = 'password_reset' then '{}'::jsonb else data end
where id = any(sqlc.arg(ids)::uuid[]) and lease_token = sqlc.arg(token)::uuid
  and set_config('synchronous_commit', 'off', true) is not null;

-- name: OutboxPostpone :execrows
-- Entries that are tried again, each after its own delay. One that never
-- reached the service (reached false) has no attempt counted and keeps its place in
-- line.
update outbox o
set next_attempt_at = case when t.reached then now() + make_interval(secs => t.delay_seconds) else o.next_attempt_at end,
    attempts = o.attempts + t.reached::int,
    last_error = coalesce(nullif(t.last_error, ''), o.last_error),
    lease_token = null, leased_until = null
from (select unnest(sqlc.arg(ids)::uuid[])               as id,
             unnest(sqlc.arg(reached)::bool[])           as reached,
             unnest(sqlc.arg(delays_seconds)::float8[])  as delay_seconds,
             unnest(sqlc.arg(last_errors)::text[])       as last_error) t
where o.id = t.id and o.lease_token = sqlc.arg(token)::uuid;

-- name: OutboxBury :execrows
-- Entries that were refused for good wait for a person.
update outbox o
set dead_at = now(), attempts = o.attempts + 1, last_error = t.last_error, lease_token = null, leased_until = null
from (select unnest(sqlc.arg(ids)::uuid[])         as id,
             unnest(sqlc.arg(last_errors)::text[]) as last_error) t
where o.id = t.id and o.lease_token = sqlc.arg(token)::uuid;

-- name: OutboxPending :many
-- What the notification service doesn't have yet about one thing, oldest first.
select id, kind, data, attempts, last_error, created_at, next_attempt_at, dead_at
from outbox
where reference = $1 and done_at is null
order by id;

-- name: OutboxListPending :many
-- Newest first; ids are UUIDv7 and so sort by age.
select id, kind, reference, attempts, last_error, created_at, next_attempt_at, dead_at
from outbox
where done_at is null and dead_at is null and (sqlc.narg(before)::uuid is null or id < sqlc.narg(before)::uuid)
order by id desc
limit sqlc.arg(page)::int;

-- name: OutboxListDead :many
select id, kind, reference, attempts, last_error, created_at, next_attempt_at, dead_at
from outbox
where dead_at is not null and (sqlc.narg(before)::uuid is null or id < sqlc.narg(before)::uuid)
order by id desc
limit sqlc.arg(page)::int;

-- name: OutboxRetry :one
update outbox
set dead_at = null, next_attempt_at = now(), attempts = 0
where id = $1 and dead_at is not null
returning id, kind, reference, attempts, last_error, created_at, next_attempt_at, dead_at;

-- name: OutboxExists :one
select exists (select from outbox where id = $1);

-- name: OutboxStatistics :one
select count(*) filter (where dead_at is null)     as pending,
       count(*) filter (where dead_at is not null) as dead,
       coalesce(extract(epoch from now() - min(created_at) filter (where dead_at is null)), 0)::float8 as oldest_seconds
from outbox
where done_at is null;

-- name: OutboxPurge :execrows
delete from outbox
where id in (select o.id from outbox o
             where o.done_at < now() - make_interval(secs => sqlc.arg(keep_seconds)::float8)
             order by o.done_at limit sqlc.arg(batch)::int for update skip locked);

-- name: OutboxRedact :exec
-- Removes a comment's text from the notices about a ticket. from_id and to_id
-- bound the ids, which begin with the time, so that the primary key serves.
update outbox
set data = data
    || case when data->>'body' = @body::text then '{"body": ""}'::jsonb else '{}' end
    || case when data->>'latest_comment' = @body::text then '{"latest_comment": ""}'::jsonb else '{}' end
where reference = @reference and id >= @from_id::uuid and id < @to_id::uuid
  and (data->>'body' = @body::text or data->>'latest_comment' = @body::text);

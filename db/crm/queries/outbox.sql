-- name: OutboxAdd :exec
insert into outbox (id, kind, reference, data, request_id, created_at, traceparent)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: OutboxClaim :many
-- Leases due entries, by the database's clock. An entry waits for earlier ones with
-- the same reference, except for those that failed often. (Two replicas that claim
-- at the same time may still reorder two of them.) Neither claim nor settlement
-- waits for the disk: after a crash of the database, lost entries are posted again
-- with the same Idempotency-Key.
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
returning o.id, o.kind, o.reference, o.data, o.request_id, o.attempts, o.traceparent;

-- name: OutboxFinish :execrows
-- The facts of a notice with a secret are erased once it is posted.
update outbox
set done_at = now(), attempts = attempts + 1, last_error = null, lease_token = null, leased_until = null,
    data = case when kind = any(sqlc.arg(sensitive_kinds)::text[]) then '{}'::jsonb else data end
where id = any(sqlc.arg(ids)::uuid[]) and lease_token = sqlc.arg(token)::uuid
  and set_config('synchronous_commit', 'off', true) is not null;

-- name: OutboxPostpone :execrows
-- Entries that are tried again, each after its own delay. For an entry that did not
-- reach the service (reached false) no attempt is counted and its due time is kept.
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

-- name: OutboxMarkDead :execrows
-- Entries that were refused permanently wait for a retry by an admin.
update outbox o
set dead_at = now(), attempts = o.attempts + 1, last_error = t.last_error, lease_token = null, leased_until = null
from (select unnest(sqlc.arg(ids)::uuid[])         as id,
             unnest(sqlc.arg(last_errors)::text[]) as last_error) t
where o.id = t.id and o.lease_token = sqlc.arg(token)::uuid;

-- name: OutboxPending :many
-- The entries of one reference that were not posted, oldest first.
select id, kind, data, attempts, last_error, created_at, next_attempt_at, dead_at
from outbox
where reference = $1 and done_at is null
order by id;

-- name: OutboxListPending :many
-- Newest first; ids are UUIDv7 and sort by age.
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
-- Counts up to a limit, so that the cost is bounded however long the backlog is.
-- The oldest entry is found by its id, a UUIDv7.
select (select count(*) from (
        select 1 from outbox where done_at is null and dead_at is null limit sqlc.arg(max)::int) p)::bigint as pending,
    (select count(*) from (select 1 from outbox where dead_at is not null limit sqlc.arg(max)::int) d)::bigint as dead,
    coalesce(extract(epoch from now() - (
        select created_at from outbox where done_at is null and dead_at is null order by id limit 1)), 0)::float8 as oldest_seconds;

-- name: OutboxPurgeDone :execrows
delete from outbox
where id in (select o.id from outbox o
             where o.done_at < now() - make_interval(secs => sqlc.arg(keep_seconds)::float8)
             order by o.done_at limit sqlc.arg(batch)::int for update skip locked);

-- name: OutboxRedact :exec
-- Removes a comment's text from the notices about a ticket. from_id and to_id
-- bound the ids, which begin with the time, so that the primary key serves.
update outbox
set data = data
    || case when data->>'body' = @body::text then '{"body": "", "files": null}'::jsonb else '{}' end
    || case when data->>'latest_comment' = @body::text then '{"latest_comment": ""}'::jsonb else '{}' end
    || case when data#>>'{earlier,body}' = @body::text then '{"earlier": null}'::jsonb else '{}' end
where reference = @reference and id >= @from_id::uuid and id < @to_id::uuid
  and (data->>'body' = @body::text or data->>'latest_comment' = @body::text or data#>>'{earlier,body}' = @body::text);

-- name: OutboxPurgeDead :execrows
-- A dead entry with a secret is kept no longer than a posted one.
delete from outbox
where id in (select o.id from outbox o
             where o.dead_at < now() - make_interval(secs => sqlc.arg(keep_sensitive_seconds)::float8)
               and (o.kind = any(sqlc.arg(sensitive_kinds)::text[])
                    or o.dead_at < now() - make_interval(secs => sqlc.arg(keep_seconds)::float8))
             order by o.dead_at limit sqlc.arg(batch)::int for update skip locked);

-- name: MailErasuresDue :many
select email_hash from mail_erasures where due_at <= now() order by due_at limit @most;

-- name: MailErasureDone :exec
delete from mail_erasures where email_hash = @email_hash;

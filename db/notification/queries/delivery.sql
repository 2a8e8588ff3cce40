-- name: DeliveryPlanByIndex :exec
-- For this transaction: take the queue in the order of its index, whatever
-- outdated statistics say about how short it is.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true);

-- name: DeliveryClaim :many
-- Leases the next recipients in fair order. Content that is large is left out
-- and fetched by the worker, so that a batch stays small in memory.
with next as (
    select r.id, r.queue_at from recipients r
    where r.queue_at is not null
    order by r.queue_at
    limit @max::integer
    for update skip locked
)
update recipients r
set queue_at = null, lease_token = @token,
    leased_until = clock_timestamp() + @lease::interval
from next, notifications n
where r.id = next.id and n.id = r.notification_id
returning r.id, r.notification_id, r.email, r.attempts, r.attempts_before, r.enqueued_at,
    next.queue_at, n.bytes, n.subject,
    (case when n.bytes <= @inline_bytes::integer then n.text else '' end)::text as text,
    coalesce(case when n.bytes <= @inline_bytes::integer then n.html end, '')::text as html,
    n.thread, n.request_id, n.message_domain, coalesce(n.not_before, n.created_at)::timestamptz as due_at;

-- name: DeliveryContent :one
select text, html from notifications where id = @id;

-- name: DeliverySettle :many
-- Writes what became of leased recipients and each try's record. A recipient
-- whose lease was lost meanwhile (another token) is left alone. One that was
-- canceled while it was on its way is not tried again.
with result as (
    select unnest(@ids::uuid[]) as id, unnest(@tokens::uuid[]) as token,
        unnest(@statuses::text[])::recipient_status as status, unnest(@finished::boolean[]) as finished,
        unnest(@next_attempts_at::timestamptz[]) as next_attempt_at, unnest(@ats::timestamptz[]) as at,
        unnest(@servers::text[]) as server, unnest(@codes::smallint[]) as code,
        unnest(@replies::text[]) as reply, unnest(@outcomes::text[])::attempt_outcome as outcome
), settled as (
    update recipients r
    set lease_token = null, leased_until = null, attempts = r.attempts + 1,
        status = case when r.canceled and result.status = 'delayed' then 'canceled' else result.status end,
        finished_at = case when result.finished or r.canceled then result.at end,
        next_attempt_at = result.next_attempt_at,
        last_error = case when result.status = 'sent' then null else result.reply end
    from result
    where r.id = result.id and r.lease_token = result.token
    returning r.id, r.attempts, result.at, result.server, result.code, result.reply, result.outcome
), recorded as (
    insert into attempts (recipient_id, number, at, server, code, reply, outcome)
    select id, attempts, at, server, nullif(code, 0), reply, outcome from settled
)
select id from settled;

-- name: DeliveryRelease :execrows
-- Gives leased recipients back to their places, as if never claimed.
update recipients r
set lease_token = null, leased_until = null,
    status = case when r.canceled and r.status <> 'uncertain' then 'canceled' else r.status end,
    finished_at = case when r.canceled then @now::timestamptz end,
    queue_at = case when not r.canceled then
        r.next_attempt_at + r.ordinal * @quantum::interval end
from (select unnest(@ids::uuid[]) as id, unnest(@tokens::uuid[]) as token) given
where r.id = given.id and r.lease_token = given.token;

-- name: DeliveryReclaim :execrows
-- Gives back what a worker that is gone had leased.
with expired as (
    select r.id from recipients r
    where r.lease_token is not null and r.leased_until < clock_timestamp()
    order by r.leased_until
    limit @max::integer
    for update skip locked
)
update recipients r
set lease_token = null, leased_until = null,
    status = case when r.canceled and r.status <> 'uncertain' then 'canceled' else r.status end,
    finished_at = case when r.canceled then @now::timestamptz end,
    queue_at = case when not r.canceled then
        r.next_attempt_at + r.ordinal * @quantum::interval end
from expired
where r.id = expired.id;

-- name: DeliveryPromote :execrows
-- Moves recipients whose time has come into the queue.
with due as (
    select r.id from recipients r
    where r.queue_at is null and r.lease_token is null and r.finished_at is null and r.next_attempt_at <= @now
    order by r.next_attempt_at
    limit @max::integer
    for update skip locked
)
update recipients r
set queue_at = r.next_attempt_at + r.ordinal * @quantum::interval
from due
where r.id = due.id;

-- name: DeliveryPlanByIndex :exec
-- Makes this transaction read the queue in the order of its index, even when
-- outdated statistics underestimate its length, and plan each statement only once. The
-- estimated cost of a plan that reads a small table whole is then so high that a session
-- with jit would compile it, which costs a hundred times what a claim does.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
    set_config('jit', 'off', true);

-- name: DeliveryClaim :many
-- Leases the next recipients in fair order, except those with the given
-- addresses, and whose place is from one given time to before another; none while
-- sending is paused. Those with a suppressed address end instead, save that an urgent mail is tried once. Large content is omitted and
-- fetched by the worker, so that a batch stays small in memory, and so is that of the
-- notifications whose content is known. The mail's date is
-- that of the notification or its later due time, so that a repeat is the same mail.
with next as (
    select r.id, r.queue_at, r.email, r.priority >= 0 or r.attempts > r.attempts_before as may_be_suppressed
    from recipients r
    where r.queue_at is not null and r.queue_at >= @placed_from::timestamptz and r.queue_at < @placed_before::timestamptz and r.email <> all(@skipped::text[])
        and not exists (select from sending s where s.paused_at is not null)
    order by r.queue_at
    limit @max::integer
    for update skip locked
)
update recipients r
set queue_at = null,
    lease_token = case when s.source is null then @token::uuid end,
    leased_until = case when s.source is null then clock_timestamp() + @lease::interval end,
    status = case when s.source is null or r.status = 'uncertain' then r.status else 'suppressed' end,
    finished_at = case when s.source is not null then @now::timestamptz end,
    last_error = case when s.source is null then r.last_error
        else 'the address is suppressed (' || s.source || ')' end
from next
left join suppressions s on s.email = next.email and next.may_be_suppressed,
    notifications n
where r.id = next.id and n.id = r.notification_id
returning r.id, r.notification_id, r.email, r.attempts, r.attempts_before, r.enqueued_at,
    next.queue_at, (s.source is not null)::boolean as suppressed, r.priority, r.expires_at, n.bytes, n.files, (n.recipient_count > 1)::boolean as shared, n.subject, n.reply_to, n.unsubscribe_url,
    (n.id = any(@known::uuid[]))::boolean as is_known,
    (case when n.bytes <= @inline_bytes::integer and n.id <> all(@known) then n.text else '' end)::text as text,
    coalesce(case when n.bytes <= @inline_bytes::integer and n.id <> all(@known) then n.html end, '')::text as html,
    n.thread, n.request_id, n.traceparent, n.message_domain, greatest(n.not_before, n.created_at)::timestamptz as date,
    (case when r.attempts > r.attempts_before then (
        select count(*) from attempts a
        where a.recipient_id = r.id and a.number > r.attempts_before and a.outcome = 'uncertain'
    ) else 0 end)::integer as uncertain;

-- name: DeliveryRenew :many
-- Extends the leases that are still held.
update recipients r
set leased_until = clock_timestamp() + @lease::interval
from (select unnest(@ids::uuid[]) as id, unnest(@tokens::uuid[]) as token) held
where r.id = held.id and r.lease_token = held.token
returning r.id;

-- name: DeliveryContent :one
select text, html from notifications where id = @id;

-- name: DeliveryFiles :many
select filename, media_type, content from notification_files where notification_id = @notification_id
order by ordinal;

-- name: DeliverySettle :many
-- Stores the result of leased recipients and a record of each try. A recipient
-- whose lease was lost meanwhile (another token) is not changed. One that was
-- canceled while its mail was being sent is not tried again, nor one whose mail came
-- back before.
with result as (
    select unnest(@ids::uuid[]) as id, unnest(@tokens::uuid[]) as token,
        unnest(@statuses::text[])::recipient_status as status, unnest(@finished::boolean[]) as finished,
        unnest(@next_attempts_at::timestamptz[]) as next_attempt_at, unnest(@ats::timestamptz[]) as at,
        unnest(@servers::text[]) as server, unnest(@codes::smallint[]) as code,
        unnest(@replies::text[]) as reply, unnest(@outcomes::text[])::attempt_outcome as outcome
), settled as (
    update recipients r
    set lease_token = null, leased_until = null, attempts = r.attempts + 1,
        status = case when r.status = 'bounced' then r.status
            when r.canceled and result.status = 'delayed' then 'canceled' else result.status end,
        finished_at = case when result.finished or r.canceled or r.status = 'bounced' then result.at end,
        next_attempt_at = result.next_attempt_at,
        last_error = case when r.status = 'bounced' then r.last_error when result.status <> 'sent' then result.reply end
    from result
    where r.id = result.id and r.lease_token = result.token
    returning r.id, r.attempts, result.at, result.server, result.code, result.reply, result.outcome
), recorded as (
    insert into attempts (recipient_id, number, at, server, code, reply, outcome)
    select id, attempts, at, server, nullif(code, 0), reply, outcome from settled
)
select id from settled;

-- name: DeliveryRelease :execrows
-- Returns leased recipients to their places in the queue as if never claimed, or
-- postpones them when a time is given (not '-infinity'). One that expires before it
-- would be tried has ended.
update recipients r
set lease_token = null, leased_until = null,
    status = case when r.status in ('uncertain', 'bounced') then r.status when r.canceled then 'canceled'
        when r.expires_at <= greatest(@now::timestamptz, held.wait_until) then 'expired' else r.status end,
    finished_at = case when r.canceled or r.status = 'bounced'
        or r.expires_at <= greatest(@now::timestamptz, held.wait_until) then @now::timestamptz end,
    next_attempt_at = greatest(r.next_attempt_at, held.wait_until),
    queue_at = case when not r.canceled and r.status <> 'bounced' and held.wait_until <= @now
        and (r.expires_at is null or r.expires_at > @now) then
        r.next_attempt_at + (r.ordinal / sqlc.arg(block)::smallint * @quantum::interval) + (r.ordinal * interval '1 us') + (r.priority * @priority_step::interval) end
from (
    select unnest(@ids::uuid[]) as id, unnest(@tokens::uuid[]) as token, unnest(@wait_until::timestamptz[]) as wait_until
) held
where r.id = held.id and r.lease_token = held.token;

-- name: DeliveryReclaim :execrows
-- Returns recipients whose lease has expired to the queue.
with expired as (
    select r.id from recipients r
    where r.lease_token is not null and r.leased_until < clock_timestamp()
    order by r.leased_until
    limit @max::integer
    for update skip locked
)
update recipients r
set lease_token = null, leased_until = null,
    status = case when r.canceled and r.status not in ('uncertain', 'bounced') then 'canceled' else r.status end,
    finished_at = case when r.canceled or r.status = 'bounced' then @now::timestamptz end,
    queue_at = case when not r.canceled and r.status <> 'bounced' then
        r.next_attempt_at + (r.ordinal / sqlc.arg(block)::smallint * @quantum::interval) + (r.ordinal * interval '1 us') + (r.priority * @priority_step::interval) end
from expired
where r.id = expired.id;

-- name: DeliveryPromote :execrows
-- Queues recipients that are due.
with due as (
    select r.id from recipients r
    where r.queue_at is null and r.lease_token is null and r.finished_at is null and r.next_attempt_at <= @now
    order by r.next_attempt_at
    limit @max::integer
    for update skip locked
)
update recipients r
set queue_at = r.next_attempt_at + (r.ordinal / sqlc.arg(block)::smallint * @quantum::interval) + (r.ordinal * interval '1 us') + (r.priority * @priority_step::interval)
from due
where r.id = due.id;

-- name: DeliveryExpire :execrows
-- Ends recipients that wait and whose time to be sent has passed. One that is being
-- sent ends as its attempt does.
with expired as (
    select r.id from recipients r
    where r.expires_at is not null and r.finished_at is null and r.expires_at <= @now::timestamptz
        and r.lease_token is null
    order by r.expires_at
    limit @max::integer
    for update skip locked
)
update recipients r
set status = case when r.status = 'uncertain' then r.status else 'expired' end,
    queue_at = null, finished_at = @now::timestamptz
from expired
where r.id = expired.id;

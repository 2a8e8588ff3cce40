-- name: NotificationInsert :one
-- Stores a notification with its recipients, or nothing if the caller's key is
-- taken. A concurrent request with the same key waits here for the first one's
-- commit.
with stored as (
    insert into notifications (id, caller, idempotency_key, body_hash, subject, text, html, bytes, requester,
        reference, thread, reply_to, unsubscribe_url, request_id, message_domain, not_before, expires_at, sensitive, priority,
        recipient_count, files, created_at, traceparent)
    values (@id, @caller, @idempotency_key, @body_hash, @subject, @text, sqlc.narg(html), @bytes, @requester,
        sqlc.narg(reference), sqlc.narg(thread), sqlc.narg(reply_to), sqlc.narg(unsubscribe_url), @request_id, @message_domain,
        sqlc.narg(not_before), sqlc.narg(expires_at), @sensitive, @priority, @recipient_count, @files, @created_at, sqlc.narg(traceparent))
    on conflict on constraint notifications_key do nothing
    returning id
), kept as (
    insert into notification_files (notification_id, ordinal, filename, media_type, content)
    select stored.id, f.ordinal, f.filename, f.media_type, f.content
    from stored, (
        select unnest(@file_ordinals::smallint[]) as ordinal, unnest(@filenames::text[]) as filename,
            unnest(@media_types::text[]) as media_type, unnest(@contents::bytea[]) as content
    ) f
), listed as (
    insert into recipients (id, notification_id, ordinal, email, enqueued_at, next_attempt_at, priority, expires_at, queue_at)
    select r.id, stored.id, r.ordinal, r.email, @due_at::timestamptz, @due_at::timestamptz,
        @queue_priority::smallint, sqlc.narg(expires_at)::timestamptz,
        case when @is_due::boolean then r.queue_at end as queue_at
    from stored, (
        select unnest(@recipient_ids::uuid[]) as id, unnest(@ordinals::smallint[]) as ordinal,
            unnest(@emails::text[]) as email, unnest(@queue_ats::timestamptz[]) as queue_at
    ) r
    returning id
)
select count(*) > 0 as inserted from listed;

-- name: NotificationFiles :many
select filename, media_type, length(content)::integer as size
from notification_files where notification_id = @notification_id
order by ordinal;

-- name: NotificationByKey :one
select * from notifications
where caller = @caller and idempotency_key = @idempotency_key;

-- name: NotificationGet :one
-- Only the caller who created it gets the content, and nobody when it is sensitive.
select n.id, n.subject, n.requester, n.reference, n.thread, n.sensitive, n.priority, n.not_before, n.expires_at, n.recipient_count, n.created_at,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain, c.expired, c.bounced, c.suppressed, c.last_finished_at, c.status,
    (n.caller = @caller and not n.sensitive)::boolean as shows_content, n.files,
    coalesce(case when n.caller = @caller and not n.sensitive then n.text end, '')::text as text,
    coalesce(case when n.caller = @caller and not n.sensitive then n.html end, '')::text as html,
    coalesce(case when n.caller = @caller and not n.sensitive then n.reply_to end, '')::text as reply_to
from notifications n
join notification_counts c on c.notification_id = n.id
where n.id = @id;

-- name: NotificationList :many
select n.id, n.subject, n.requester, n.reference, n.thread, n.sensitive, n.priority, n.not_before, n.expires_at, n.recipient_count, n.created_at,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain, c.expired, c.bounced, c.suppressed, c.last_finished_at, c.status
from notifications n
cross join lateral (select * from notification_counts where notification_id = n.id) c
where n.id < @before_id and n.id >= @after_id
    and n.created_at > @created_after and n.created_at < @created_before
    and (sqlc.narg(reference)::text is null or n.reference = sqlc.narg(reference)::text)
    and (sqlc.narg(requester)::text is null or n.requester = sqlc.narg(requester)::text)
    and (sqlc.narg(status)::text is null or c.status = sqlc.narg(status)::text)
order by n.id desc
limit @max::integer;

-- name: NotificationListOpen :many
-- Unfinished notifications, found by the partial indexes of the recipients that are
-- queued, leased or waiting.
select n.id, n.subject, n.requester, n.reference, n.thread, n.sensitive, n.priority, n.not_before, n.expires_at, n.recipient_count, n.created_at,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain, c.expired, c.bounced, c.suppressed, c.last_finished_at, c.status
from notifications n
cross join lateral (select * from notification_counts where notification_id = n.id) c
where n.id < @before_id and n.id >= @after_id
    and n.created_at > @created_after and n.created_at < @created_before
    and (sqlc.narg(reference)::text is null or n.reference = sqlc.narg(reference)::text)
    and (sqlc.narg(requester)::text is null or n.requester = sqlc.narg(requester)::text)
    and n.id in (
        select r.notification_id from recipients r
        where r.queue_at is not null or r.lease_token is not null
            or (r.queue_at is null and r.lease_token is null and r.finished_at is null))
    and c.status = @status::text
order by n.id desc
limit @max::integer;

-- name: NotificationListNotSent :many
-- Notifications with a recipient that ended without being sent, in the order of
-- the index.
select n.id, n.subject, n.requester, n.reference, n.thread, n.sensitive, n.priority, n.not_before, n.expires_at, n.recipient_count, n.created_at,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain, c.expired, c.bounced, c.suppressed, c.last_finished_at, c.status
from (
    select distinct r.notification_id from recipients r
    where r.status in ('failed', 'uncertain', 'canceled', 'expired', 'bounced', 'suppressed')
        and r.notification_id < @before_id and r.notification_id >= @after_id
    order by r.notification_id desc
) ended
join notifications n on n.id = ended.notification_id
cross join lateral (select * from notification_counts where notification_id = ended.notification_id) c
where n.created_at > @created_after and n.created_at < @created_before
    and (sqlc.narg(reference)::text is null or n.reference = sqlc.narg(reference)::text)
    and (sqlc.narg(requester)::text is null or n.requester = sqlc.narg(requester)::text)
    and c.status = @status::text
order by ended.notification_id desc
limit @max::integer;

-- name: NotificationRecipients :many
-- The first recipients of each of several notifications.
select id, notification_id, ordinal, email, status, (lease_token is not null)::boolean as sending, attempts, last_error, next_attempt_at, finished_at
from recipients
where notification_id = any(@notification_ids::uuid[]) and ordinal < @max::integer
order by notification_id, ordinal;

-- name: NotificationExists :one
select exists(select 1 from notifications where id = @id);

-- name: RecipientList :many
select id, ordinal, email, status, (lease_token is not null)::boolean as sending, attempts, last_error, next_attempt_at, finished_at
from recipients
where notification_id = @notification_id and ordinal > @after_ordinal
    and (sqlc.narg(status)::text is null
        or case when lease_token is null then status::text else 'sending' end = sqlc.narg(status)::text)
order by ordinal
limit @max::integer;

-- name: RecipientExists :one
select exists(select 1 from recipients where id = @id and notification_id = @notification_id);

-- name: AttemptList :many
select number, at, server, code, reply, outcome
from attempts
where recipient_id = @recipient_id and number < @before_number
order by number desc
limit @max::integer;

-- name: NotificationCancel :execrows
-- Cancels recipients that wait. One that is being sent gets a flag, and is not tried
-- again after its attempt.
update recipients
set canceled = true,
    queue_at = null,
    status = case when lease_token is null and status not in ('uncertain', 'bounced') then 'canceled' else status end,
    finished_at = case when lease_token is null then @now::timestamptz end
where notification_id = @notification_id and finished_at is null and not canceled;

-- name: NotificationRetry :execrows
-- A finished sensitive notification has no content to send again, and one that has
-- expired is not sent any more. What bounced or was suppressed is sent again once its
-- address is not suppressed any more.
update recipients r
set status = 'queued', canceled = false, finished_at = null, attempts_before = attempts,
    enqueued_at = given.now, next_attempt_at = given.now,
    queue_at = given.now + ordinal / given.block * given.quantum + ordinal * interval '1 us' + priority * given.priority_step
from (select @now::timestamptz as now, @block::smallint as block, @quantum::interval as quantum, @priority_step::interval as priority_step) given
where notification_id = @notification_id and lease_token is null
    and (status in ('failed', 'uncertain')
        or status in ('bounced', 'suppressed') and not exists (select 1 from suppressions s where s.email = r.email))
    and (expires_at is null or expires_at > given.now)
    and not exists (select 1 from notifications n where n.id = @notification_id and n.sensitive);

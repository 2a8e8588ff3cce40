-- +goose Up
create type notification_priority as enum ('urgent', 'normal', 'bulk');

alter table notifications
    add column reply_to text,
    add column priority notification_priority not null default 'normal',
    add column expires_at timestamptz;

alter table recipients
    add column priority smallint not null default 0,
    add column expires_at timestamptz;

comment on column recipients.priority is '-1 urgent, 0 normal, 1 bulk: queue_at is later by that many steps, so that one index has the order of all';

-- Valid for all rows that the former constraint was valid for; the next migration
-- checks them without a lock that stops writers.
alter table recipients
    add constraint recipients_end check (
        case status when 'uncertain' then true
            else (finished_at is not null) = (status in ('sent', 'failed', 'canceled', 'expired')) end) not valid,
    drop constraint recipients_finished;

create or replace view notification_counts as
select n.id as notification_id,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain,
    coalesce(c.finished_at, n.created_at)::timestamptz as last_finished_at,
    case
        when c.unfinished = n.recipient_count and c.tried = 0 then 'queued'
        when c.unfinished > 0 then 'processing'
        when c.failed + c.uncertain + c.expired > 0 and c.sent > 0 then 'partially_failed'
        when c.failed + c.uncertain + c.expired > 0 then 'failed'
        when c.canceled > 0 then 'canceled'
        else 'completed'
    end as status,
    c.expired
from notifications n
cross join lateral (
    select count(*) filter (where r.status = 'queued' and r.lease_token is null)::integer as queued,
        count(*) filter (where r.lease_token is not null)::integer as sending,
        count(*) filter (where r.status = 'delayed' and r.lease_token is null)::integer as delayed,
        count(*) filter (where r.status = 'sent')::integer as sent,
        count(*) filter (where r.status = 'failed')::integer as failed,
        count(*) filter (where r.status = 'canceled')::integer as canceled,
        count(*) filter (where r.status = 'uncertain' and r.lease_token is null)::integer as uncertain,
        count(*) filter (where r.status = 'expired')::integer as expired,
        count(*) filter (where r.finished_at is null) as unfinished,
        count(*) filter (where r.attempts > 0 or r.lease_token is not null) as tried,
        max(r.finished_at) as finished_at
    from recipients r
    where r.notification_id = n.id
) c;

-- +goose Down
drop view notification_counts;
create view notification_counts as
select n.id as notification_id,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain,
    coalesce(c.finished_at, n.created_at)::timestamptz as last_finished_at,
    case
        when c.unfinished = n.recipient_count and c.tried = 0 then 'queued'
        when c.unfinished > 0 then 'processing'
        when c.failed + c.uncertain > 0 and c.sent > 0 then 'partially_failed'
        when c.failed + c.uncertain > 0 then 'failed'
        when c.canceled > 0 then 'canceled'
        else 'completed'
    end as status
from notifications n
cross join lateral (
    select count(*) filter (where r.status = 'queued' and r.lease_token is null)::integer as queued,
        count(*) filter (where r.lease_token is not null)::integer as sending,
        count(*) filter (where r.status = 'delayed' and r.lease_token is null)::integer as delayed,
        count(*) filter (where r.status = 'sent')::integer as sent,
        count(*) filter (where r.status = 'failed')::integer as failed,
        count(*) filter (where r.status = 'canceled')::integer as canceled,
        count(*) filter (where r.status = 'uncertain' and r.lease_token is null)::integer as uncertain,
        count(*) filter (where r.finished_at is null) as unfinished,
        count(*) filter (where r.attempts > 0 or r.lease_token is not null) as tried,
        max(r.finished_at) as finished_at
    from recipients r
    where r.notification_id = n.id
) c;
update recipients set status = 'failed' where status = 'expired';
alter table recipients
    add constraint recipients_finished check (
        case status when 'uncertain' then true
            else (finished_at is not null) = (status in ('sent', 'failed', 'canceled')) end) not valid,
    drop constraint recipients_end,
    drop column priority,
    drop column expires_at;
alter table notifications drop column reply_to, drop column priority, drop column expires_at;
drop type notification_priority;

-- +goose Up

-- Addresses that are mailed no more, in their canonical form.
create table suppressions (
    email        text        primary key,
    id           uuid        not null,
    source       text        not null check (source in ('bounce', 'complaint', 'manual')),
    reason       text        not null,
    created_at   timestamptz not null,
    constraint suppressions_id unique (id)
);
comment on column suppressions.id is 'a UUIDv7, which orders the list';

-- What mail servers reported about a mail after they had taken it.
create table delivery_reports (
    id           uuid        primary key,
    recipient_id uuid        not null references recipients on delete cascade,
    kind         text        not null check (kind in ('failed', 'delayed', 'complaint')),
    received_at  timestamptz not null,
    status       text,
    code         smallint    check (code between 200 and 599),
    server       text,
    text         text        not null
);
create index delivery_reports_recipient on delivery_reports (recipient_id, id);
comment on column delivery_reports.status is 'the enhanced status code (RFC 3463)';

-- Secrets that the service makes itself when none is configured.
create table secrets (
    name  text  primary key,
    value bytea not null check (octet_length(value) >= 32)
);

-- A bounced recipient may still be leased: its report can come before the result of
-- the conversation is stored, and during a repeat. The lease ends it.
alter table recipients
    add constraint recipients_ended check (
        case when status in ('uncertain', 'bounced') then true
            else (finished_at is not null) = (status in ('sent', 'failed', 'canceled', 'expired', 'suppressed')) end) not valid,
    drop constraint recipients_end;

create or replace view notification_counts as
select n.id as notification_id,
    c.queued, c.sending, c.delayed, c.sent, c.failed, c.canceled, c.uncertain,
    coalesce(c.finished_at, n.created_at)::timestamptz as last_finished_at,
    case
        when c.unfinished = n.recipient_count and c.tried = 0 then 'queued'
        when c.unfinished > 0 then 'processing'
        when c.failed + c.uncertain + c.expired + c.bounced + c.suppressed > 0 and c.sent > 0 then 'partially_failed'
        when c.failed + c.uncertain + c.expired + c.bounced + c.suppressed > 0 then 'failed'
        when c.canceled > 0 then 'canceled'
        else 'completed'
    end as status,
    c.expired, c.bounced, c.suppressed
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
        count(*) filter (where r.status = 'bounced' and r.lease_token is null)::integer as bounced,
        count(*) filter (where r.status = 'suppressed')::integer as suppressed,
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
alter table recipients
    add constraint recipients_end check (
        case status when 'uncertain' then true
            else (finished_at is not null) = (status in ('sent', 'failed', 'canceled', 'expired')) end) not valid,
    drop constraint recipients_ended;
drop table secrets;
drop table delivery_reports;
drop table suppressions;

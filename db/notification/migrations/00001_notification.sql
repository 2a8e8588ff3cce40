-- +goose Up

-- One request for mails, immutable once stored. The hash of the body is in the same
-- row as its key, so that the insert itself recognises a repeated request.
-- message_domain is the right side of the mails' Message-IDs, stored so that a
-- repeat of a mail is the same mail. bytes is the size of the content, by which
-- delivery decides how to fetch it.
create table notifications (
    id              uuid primary key,
    caller          text        not null,
    idempotency_key text        not null check (length(idempotency_key) between 1 and 200),
    body_hash       bytea       not null check (octet_length(body_hash) = 32),
    subject         text        not null,
    text            text        not null,
    html            text,
    bytes           integer     not null,
    requester       text        not null,
    reference       text,
    thread          text,
    request_id      text        not null,
    message_domain  text        not null,
    not_before      timestamptz,
    recipient_count integer     not null check (recipient_count between 1 and 1000),
    created_at      timestamptz not null,
    constraint notifications_key unique (caller, idempotency_key)
);
create index notifications_reference on notifications (reference, id) where reference is not null;
create index notifications_requester on notifications (requester, id);

-- The result of a recipient, or what it waits for. A mail that is being sent has a
-- lease and no status of its own, so that the status is right when the lease ends.
create type recipient_status as enum ('queued', 'delayed', 'sent', 'failed', 'canceled', 'uncertain');

-- One address of a notification. An unfinished recipient is in exactly one of
-- three states: queued (queue_at, its place in the fair order), waiting for
-- next_attempt_at, or leased. The rows are narrow and updated twice for each mail.
create table recipients (
    id              uuid primary key,
    notification_id uuid             not null references notifications on delete cascade,
    ordinal         smallint         not null check (ordinal between 0 and 999),
    email           text             not null,
    status          recipient_status not null default 'queued',
    canceled        boolean          not null default false,
    attempts        integer          not null default 0,
    attempts_before integer          not null default 0,
    enqueued_at     timestamptz      not null,
    next_attempt_at timestamptz      not null,
    queue_at        timestamptz,
    lease_token     uuid,
    leased_until    timestamptz,
    finished_at     timestamptz,
    last_error      text,
    constraint recipients_ordinal unique (notification_id, ordinal),
    constraint recipients_lease check ((lease_token is null) = (leased_until is null)),
    constraint recipients_place check (num_nonnulls(queue_at, lease_token, finished_at) <= 1),
    constraint recipients_finished check (
        case status when 'uncertain' then true
            else (finished_at is not null) = (status in ('sent', 'failed', 'canceled')) end)
) with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

comment on column recipients.attempts_before is 'attempts made before the last manual retry: the backoff starts again from there';
comment on column recipients.enqueued_at is 'when it was first due, or due again by a manual retry: giving up counts from there';

create index recipients_queue on recipients (queue_at) where queue_at is not null;
create index recipients_waiting on recipients (next_attempt_at)
    where queue_at is null and lease_token is null and finished_at is null;
create index recipients_leased on recipients (leased_until) where lease_token is not null;

create type attempt_outcome as enum ('sent', 'temporary', 'permanent', 'uncertain');

-- Every try to send a mail to a server. Rows are written once, in the order of
-- time, so that a small index by time is enough to count the last minute.
create table attempts (
    recipient_id uuid            not null references recipients on delete cascade,
    number       integer         not null check (number > 0),
    at           timestamptz     not null,
    server       text            not null,
    code         smallint        check (code between 200 and 599),
    reply        text            not null,
    outcome      attempt_outcome not null,
    primary key (recipient_id, number)
);
create index attempts_at on attempts using brin (at) with (pages_per_range = 16, autosummarize = on);

-- A notification's result, computed from its recipients when it is read, so that
-- no parent row is written while mails are sent. "tried" counts the recipients that
-- a worker has claimed.
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

-- +goose Down
drop view notification_counts;
drop table attempts;
drop type attempt_outcome;
drop table recipients;
drop type recipient_status;
drop table notifications;

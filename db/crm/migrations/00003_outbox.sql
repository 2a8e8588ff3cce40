-- +goose Up

-- Notices to be posted to the notification service. An entry is written in the
-- transaction of its change; its id is the Idempotency-Key of the request. kind and
-- data are the facts of the mail at that time, so that each try posts the same
-- body.
create table outbox (
    id              uuid primary key,
    kind            text        not null,
    reference       uuid        not null,
    data            jsonb       not null,
    request_id      text        not null default '',
    created_at      timestamptz not null,
    next_attempt_at timestamptz not null default now(),
    attempts        integer     not null default 0,
    lease_token     uuid,
    leased_until    timestamptz,
    done_at         timestamptz,
    dead_at         timestamptz,
    last_error      text,
    check (done_at is null or dead_at is null),
    check ((lease_token is null) = (leased_until is null)),
    check (lease_token is null or (done_at is null and dead_at is null))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index outbox_due on outbox (next_attempt_at, id) where done_at is null and dead_at is null;
create index outbox_dead on outbox (dead_at) where dead_at is not null;
create index outbox_done on outbox (done_at) where done_at is not null;
create index outbox_reference on outbox (reference, id) where done_at is null;

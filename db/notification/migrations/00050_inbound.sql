-- +goose Up

-- received: stored, not read yet. pending: waits for its consumer. acknowledged: the
-- consumer said what became of it. handled: a report that the service applied itself.
create type inbound_status as enum ('received', 'pending', 'acknowledged', 'handled');

-- Mail that came in. A row exists only when all of its bytes are in inbound_raw.
create table inbound_mails (
    id              uuid           primary key,
    received_at     timestamptz    not null,
    source          text           not null check (source in ('smtp', 'lmtp', 'imap')),
    envelope_from   text           not null,
    envelope_to     text[]         not null,
    size            bigint         not null check (size >= 0),
    -- Identifies the mail however often it arrives (package inbound, fingerprint.go).
    fingerprint     bytea          not null check (length(fingerprint) = 32),
    arrivals        integer        not null default 1 check (arrivals > 0),
    status          inbound_status not null default 'received',
    -- How often reading it was begun. What ends the process each time is not read.
    tries           smallint       not null default 0,
    -- What the bytes say, as the API answers it; null while received.
    content         jsonb,
    content_size    integer        not null default 0,
    result          text,
    reference       text,
    acknowledged_at timestamptz,
    check ((content is null) = (status = 'received')),
    check ((acknowledged_at is null) = (result is null))
) with (fillfactor = 80);

create unique index inbound_mails_fingerprint on inbound_mails (fingerprint);
create index inbound_mails_received on inbound_mails (tries, id) where status = 'received';
create index inbound_mails_pending on inbound_mails (id) where status = 'pending';

-- The bytes of each mail in pieces of at most 256 KiB. Those of a large mail are
-- written before its row, so that no transaction lasts as long as its sender likes.
create table inbound_raw (
    mail_id uuid    not null,
    ordinal integer not null check (ordinal >= 0),
    data    bytea   not null,
    primary key (mail_id, ordinal)
);

-- The pieces are read as they are and most are encoded files.
alter table inbound_raw alter column data set storage external;

-- +goose Down
drop table inbound_raw;
drop table inbound_mails;
drop type inbound_status;

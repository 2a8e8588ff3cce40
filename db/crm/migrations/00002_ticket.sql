-- +goose Up

-- One row per approved engineer, inserted and deleted with the approval. Its lock
-- serialises assignments to the engineer. The changing columns have no index, so
-- that every change of the load is a HOT update (PostgreSQL chapter 73.7).
create table engineers (
    user_id          uuid primary key references users,
    available        boolean     not null default true,
    active_tickets   integer     not null default 0 check (active_tickets >= 0),
    last_assigned_at timestamptz not null default '-infinity'
) with (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);

create type ticket_status as enum ('open', 'in_progress', 'blocked', 'resolved', 'closed');
create type ticket_priority as enum ('low', 'normal', 'high', 'urgent');

create table tickets (
    id          uuid primary key,
    number      bigint          not null generated always as identity constraint tickets_number_key unique,
    title       text            not null check (length(title) between 1 and 200),
    description text            not null check (length(description) between 1 and 20000),
    status      ticket_status   not null default 'open',
    priority    ticket_priority not null default 'normal',
    reporter_id uuid            not null references users,
    assignee_id uuid references users,
    resolution  text check (length(resolution) between 1 and 20000),
    version     integer         not null default 1,
    created_at  timestamptz     not null,
    updated_at  timestamptz     not null,
    accepted_at timestamptz,
    resolved_at timestamptz,
    closed_at   timestamptz,
    -- Set while the ticket waits for an engineer.
    waiting_since timestamptz,
    -- Written by the service, which folds case and splits words itself, since the
    -- results of the parser and lower() beyond ASCII depend on the database's locale.
    search      tsvector        not null default '',
    check (status <> 'resolved' or (resolved_at is not null and resolution is not null)),
    check ((status = 'closed') = (closed_at is not null)),
    check (status not in ('in_progress', 'blocked') or accepted_at is not null),
    check (waiting_since is null or assignee_id is null)
) with (fillfactor = 85);
create index tickets_created on tickets (created_at, id);
create index tickets_updated on tickets (updated_at, id);
create index tickets_priority on tickets (priority, id);
create index tickets_status on tickets (status, created_at, id);
create index tickets_reporter on tickets (reporter_id, created_at, id);
create index tickets_assignee on tickets (assignee_id, created_at, id);
create index tickets_active on tickets (created_at, id) where status in ('open', 'in_progress', 'blocked');
create index tickets_active_by_assignee on tickets (assignee_id, created_at, id) where status in ('open', 'in_progress', 'blocked');
create index tickets_waiting on tickets (created_at, id) where waiting_since is not null;
create index tickets_search on tickets using gin (search);

-- Only this trigger changes an engineer's load, in the transaction of the ticket's
-- change. Increasing it fails for a user who is no approved engineer.
-- +goose StatementBegin
create function tickets_move_load() returns trigger language plpgsql as $$
declare
    before uuid; after uuid;
begin
    if tg_op <> 'INSERT' and old.status in ('open', 'in_progress', 'blocked') then
        before := old.assignee_id;
    end if;
    if tg_op <> 'DELETE' and new.status in ('open', 'in_progress', 'blocked') then
        after := new.assignee_id;
    end if;
    if before is not distinct from after then
        return null;
    end if;
    if before is not null then
        update engineers set active_tickets = active_tickets - 1 where user_id = before;
    end if;
    if after is not null then
        update engineers set active_tickets = active_tickets + 1, last_assigned_at = clock_timestamp()
        where user_id = after;
        if not found then
            raise exception 'an active ticket needs an approved engineer'
                using errcode = 'foreign_key_violation', constraint = 'tickets_assignee_is_engineer';
        end if;
    end if;
    return null;
end $$;
-- +goose StatementEnd
create trigger tickets_load after insert or delete or update of status, assignee_id on tickets
    for each row execute function tickets_move_load();

-- +goose StatementBegin
create function engineers_leave_empty_handed() returns trigger language plpgsql as $$
begin
    if old.active_tickets <> 0 then
        raise exception 'an engineer who leaves still has active tickets'
            using errcode = 'restrict_violation', constraint = 'engineers_leave_empty_handed';
    end if;
    return old;
end $$;
-- +goose StatementEnd
create trigger engineers_leave before delete on engineers
    for each row execute function engineers_leave_empty_handed();

-- Engineers who declined a ticket, which is not offered to them again while others
-- remain.
create table ticket_declines (
    ticket_id   uuid        not null references tickets,
    engineer_id uuid        not null references users,
    reason      text        not null check (length(reason) between 1 and 1000),
    created_at  timestamptz not null,
    primary key (ticket_id, engineer_id)
);

create table ticket_comments (
    id         uuid primary key,
    ticket_id  uuid        not null references tickets,
    author_id  uuid        not null references users,
    body       text        not null check (length(body) between 1 and 20000),
    internal   boolean     not null default false,
    created_at timestamptz not null,
    search     tsvector    not null default ''
);
create index ticket_comments_ticket on ticket_comments (ticket_id, created_at, id);
create index ticket_comments_search on ticket_comments using gin (search);

-- The events of a ticket. transaction_id orders the event stream by the commit
-- horizon: a reader below pg_snapshot_xmin never misses a row that commits late.
create table ticket_events (
    id             uuid primary key,
    ticket_id      uuid        not null references tickets,
    kind           text        not null,
    actor_id       uuid references users,
    internal       boolean     not null default false,
    changes        jsonb       not null default '{}',
    created_at     timestamptz not null,
    transaction_id xid8        not null default pg_current_xact_id()
);
create index ticket_events_ticket on ticket_events (ticket_id, created_at, id);
create index ticket_events_feed on ticket_events (transaction_id, id);
-- This index is for reports over a period. Rows are stored in the order of time, so
-- that a BRIN index is cheap to write.
create index ticket_events_created on ticket_events using brin (created_at) with (pages_per_range = 32, autosummarize = on);

-- The first answer to each Idempotency-Key, per caller, kept for 24 hours.
create table idempotency_keys (
    user_id      uuid        not null references users,
    key          text        not null check (length(key) between 1 and 255),
    request_hash bytea       not null check (length(request_hash) = 32),
    object_id    uuid        not null,
    response     jsonb,
    created_at   timestamptz not null,
    primary key (user_id, key)
);
create index idempotency_keys_age on idempotency_keys (created_at);

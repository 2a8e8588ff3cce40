-- +goose Up

create type user_role as enum ('customer', 'engineer', 'admin');
create type user_status as enum ('pending', 'approved', 'rejected', 'suspended');

-- search is name and address folded by the service, since the result of lower()
-- for letters beyond ASCII depends on the database's locale.
create table users (
    id            uuid primary key,
    name          text        not null check (length(name) between 1 and 200),
    email         text        not null constraint users_email_key unique
                              check (email = lower(email) and length(email) between 3 and 254),
    search        text        not null,
    password_hash text        not null,
    role          user_role   not null,
    status        user_status not null,
    version       integer     not null default 1,
    created_at    timestamptz not null,
    updated_at    timestamptz not null
);
create index users_newest on users (created_at desc, id desc);
create index users_role_status on users (role, status, created_at desc, id desc);

-- A registration is the request of an engineer or admin for approval. The decision
-- is the user's status; this table has who decided.
create table registrations (
    user_id    uuid primary key references users,
    created_at timestamptz not null,
    decided_by uuid references users,
    decided_at timestamptz,
    reason     text check (length(reason) between 1 and 1000),
    check ((decided_by is null) = (decided_at is null)),
    check (reason is null or decided_at is not null)
);
create index registrations_newest on registrations (created_at desc, user_id desc);

create table sessions (
    id         uuid primary key,
    user_id    uuid        not null references users,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz not null,
    revoked_at timestamptz,
    address    inet,
    user_agent text        not null default '' check (length(user_agent) <= 500)
) with (fillfactor = 80);
create index sessions_user on sessions (user_id, created_at desc, id desc) where revoked_at is null;
create index sessions_expiry on sessions (expires_at);

-- Only the SHA-256 of a refresh token is stored. The successor is encrypted with a
-- key derived from the spent token, so that a client which lost the answer gets
-- the same successor again and nobody else can read it.
create table refresh_tokens (
    token_hash       bytea primary key check (length(token_hash) = 32),
    session_id       uuid        not null references sessions on delete cascade,
    created_at       timestamptz not null,
    spent_at         timestamptz,
    successor_sealed bytea,
    check ((spent_at is null) = (successor_sealed is null))
);
create index refresh_tokens_session on refresh_tokens (session_id);

create table password_resets (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id    uuid        not null references users,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index password_resets_user on password_resets (user_id) where used_at is null;
create index password_resets_expiry on password_resets (expires_at);

-- The times of limited actions, per key (the action and a hash of its subject), at
-- most as many as the limit: an exact sliding window.
create table rate_limits (
    key        text primary key check (length(key) <= 100),
    hits       timestamptz[] not null,
    expires_at timestamptz   not null
) with (fillfactor = 70);
create index rate_limits_expiry on rate_limits (expires_at);

-- +goose StatementBegin
create function rate_limit_hits_since(hits timestamptz[], since timestamptz) returns timestamptz[]
    language sql immutable parallel safe
    return array(select t.h from unnest(hits) as t(h) where t.h > since order by t.h);
-- +goose StatementEnd

create table audit_events (
    id         uuid primary key,
    kind       text        not null,
    actor_id   uuid references users,
    object_id  uuid,
    before     jsonb,
    after      jsonb,
    address    inet,
    request_id text        not null default '',
    created_at timestamptz not null
);
create index audit_events_newest on audit_events (created_at desc, id desc);
create index audit_events_actor on audit_events (actor_id, created_at desc, id desc);
create index audit_events_object on audit_events (object_id, created_at desc, id desc);
create index audit_events_kind on audit_events (kind, created_at desc, id desc);

-- +goose StatementBegin
create function audit_events_are_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'audit events are append-only' using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger audit_events_append_only before update or delete or truncate on audit_events
    for each statement execute function audit_events_are_append_only();

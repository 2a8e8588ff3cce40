-- +goose Up

-- An API key acts for its owner, within its scopes and networks. hint is the
-- beginning of the newest secret, by which people recognise it.
create table api_keys (
    id           uuid primary key,
    user_id      uuid        not null references users,
    name         text        not null check (length(name) between 1 and 100),
    scopes       text[]      not null check (cardinality(scopes) between 1 and 20),
    networks     cidr[]      not null check (cardinality(networks) <= 20),
    hint         text        not null check (length(hint) <= 20),
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    last_used_at timestamptz
) with (fillfactor = 80);
create index api_keys_user on api_keys (user_id, created_at desc, id desc);
create index api_keys_newest on api_keys (created_at desc, id desc);
create index api_keys_expiry on api_keys (expires_at);

-- Only the SHA-256 of a secret is stored. The newest secret of a key has no
-- expires_at; the one before gets one when the key is rotated.
create table api_key_secrets (
    secret_hash bytea primary key check (length(secret_hash) = 32),
    key_id      uuid        not null references api_keys on delete cascade,
    created_at  timestamptz not null,
    expires_at  timestamptz
);
create unique index api_key_secrets_newest on api_key_secrets (key_id) where expires_at is null;
create index api_key_secrets_key on api_key_secrets (key_id);
create index api_key_secrets_expiry on api_key_secrets (expires_at);

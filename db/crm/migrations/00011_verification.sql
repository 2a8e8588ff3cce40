-- +goose Up

-- A token verifies the address to which it was mailed.
create table email_verifications (
    token_hash bytea primary key check (length(token_hash) = 32),
    user_id    uuid        not null references users,
    email      text        not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index email_verifications_user on email_verifications (user_id) where used_at is null;
create index email_verifications_expiry on email_verifications (expires_at);

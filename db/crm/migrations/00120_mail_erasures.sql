-- +goose Up

-- Addresses of erased people, by their SHA-256, whose mails the notification service still
-- has. A row is removed once that service has been asked to erase them.
create table mail_erasures (
    email_hash bytea       primary key check (octet_length(email_hash) = 32),
    due_at     timestamptz not null
);

-- +goose Down
drop table mail_erasures;

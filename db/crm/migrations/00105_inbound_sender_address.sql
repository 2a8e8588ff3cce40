-- +goose NO TRANSACTION
-- +goose Up

-- Finds the mails of an address that had no account when they came in.
create index concurrently if not exists inbound_mails_address on inbound_mails (lower(from_email)) where sender_id is null;

-- +goose Down
drop index concurrently if exists inbound_mails_address;

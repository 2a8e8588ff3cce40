-- +goose NO TRANSACTION

-- +goose Up
-- The index of the list of dead entries, newest first.
set lock_timeout = 0;
create index concurrently outbox_dead_by_id on outbox (id) where dead_at is not null;
reset lock_timeout;

-- +goose Down
drop index concurrently outbox_dead_by_id;

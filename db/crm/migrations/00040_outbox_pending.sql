-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few entries that are still to be posted, oldest first.
set lock_timeout = 0;
create index concurrently outbox_pending on outbox (id) where done_at is null and dead_at is null;
reset lock_timeout;

-- +goose Down
drop index concurrently outbox_pending;

-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few recipients that can expire.
set lock_timeout = 0;
create index concurrently recipients_expiry on recipients (expires_at)
    where expires_at is not null and finished_at is null;
reset lock_timeout;

-- +goose Down
drop index concurrently recipients_expiry;

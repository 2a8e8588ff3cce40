-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few notifications whose content is still to be erased.
set lock_timeout = 0;
create index concurrently notifications_to_erase on notifications (id) where sensitive and text <> '';
reset lock_timeout;

-- +goose Down
drop index concurrently notifications_to_erase;

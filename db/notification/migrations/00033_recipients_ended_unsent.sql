-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few recipients that ended without being sent, the expired ones
-- among them. It serves the queries of older versions, too, which ask for fewer.
set lock_timeout = 0;
create index concurrently recipients_ended_unsent on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled', 'expired');
reset lock_timeout;

-- +goose Down
drop index concurrently recipients_ended_unsent;

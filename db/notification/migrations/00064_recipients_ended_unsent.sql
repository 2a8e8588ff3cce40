-- +goose NO TRANSACTION

-- +goose Up
set lock_timeout = 0;
drop index concurrently recipients_ended_unsent;
reset lock_timeout;

-- +goose Down
create index concurrently recipients_ended_unsent on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled', 'expired');

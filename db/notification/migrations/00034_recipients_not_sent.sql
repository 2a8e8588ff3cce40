-- +goose NO TRANSACTION

-- +goose Up
set lock_timeout = 0;
drop index concurrently recipients_not_sent;
reset lock_timeout;

-- +goose Down
create index concurrently recipients_not_sent on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled');

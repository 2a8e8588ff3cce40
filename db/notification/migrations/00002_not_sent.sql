-- +goose NO TRANSACTION

-- +goose Up
-- The few recipients that came to a bad end: by them the notifications that
-- failed or were canceled are found among millions that did not.
create index concurrently recipients_not_sent on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled');

-- +goose Down
drop index concurrently recipients_not_sent;

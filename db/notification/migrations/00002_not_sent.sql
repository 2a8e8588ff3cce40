-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few recipients that failed or were canceled. It finds their
-- notifications among millions of others.
create index concurrently recipients_not_sent on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled');

-- +goose Down
drop index concurrently recipients_not_sent;

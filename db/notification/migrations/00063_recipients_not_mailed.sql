-- +goose NO TRANSACTION

-- +goose Up
-- The index of the few recipients that ended without a mail that arrived. It serves the
-- queries of older versions, too, which ask for fewer.
set lock_timeout = 0;
create index concurrently recipients_not_mailed on recipients (notification_id)
    where status in ('failed', 'uncertain', 'canceled', 'expired', 'bounced', 'suppressed');
reset lock_timeout;

-- +goose Down
drop index concurrently recipients_not_mailed;

-- +goose Up
-- A recipient for whose mail a delivery report came, and one whose address is on the
-- suppression list. PostgreSQL takes a new value only after the commit that added it.
alter type recipient_status add value if not exists 'bounced';
alter type recipient_status add value if not exists 'suppressed';

-- +goose Down
-- A value can't be removed from a type. No older version writes these.
select 1;

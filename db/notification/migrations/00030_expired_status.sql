-- +goose Up
-- A recipient whose mail was not sent before the time that the request gave.
-- PostgreSQL takes a new value only after the commit that added it.
alter type recipient_status add value if not exists 'expired';

-- +goose Down
-- A value can't be removed from a type. No older version writes it.
select 1;

-- +goose Up
-- The trace that the mails of a notification continue (W3C Trace Context), null without
-- one.
alter table notifications add column traceparent text;

-- +goose Down
alter table notifications drop column traceparent;

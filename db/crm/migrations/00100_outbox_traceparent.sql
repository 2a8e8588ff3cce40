-- +goose Up
-- The trace that an entry continues (W3C Trace Context), null without one.
alter table outbox add column traceparent text;

-- +goose Down
alter table outbox drop column traceparent;

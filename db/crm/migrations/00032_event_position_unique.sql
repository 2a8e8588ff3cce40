-- +goose NO TRANSACTION
-- +goose Up

-- What streams read.
create unique index concurrently ticket_events_position on ticket_events (position) where position is not null;

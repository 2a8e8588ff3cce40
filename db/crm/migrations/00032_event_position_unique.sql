-- +goose NO TRANSACTION
-- +goose Up

-- The index of the events that streams read.
create unique index concurrently ticket_events_position on ticket_events (position) where position is not null;

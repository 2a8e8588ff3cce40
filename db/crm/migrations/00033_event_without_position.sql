-- +goose NO TRANSACTION
-- +goose Up

-- The index of the events that the sequencer reads.
create index concurrently ticket_events_without_position on ticket_events (created_at, id) where position is null;

-- +goose NO TRANSACTION
-- +goose Up

-- What the sequencer reads.
create index concurrently ticket_events_without_position on ticket_events (created_at, id) where position is null;

-- +goose Up

-- The order of the event stream. One writer at a time assigns the positions after
-- the commit; they are null until then. They are part of the data and so survive
-- dump and restore. transaction_id is kept for the releases that order by it.
alter table ticket_events add column position bigint;
create sequence ticket_event_positions owned by ticket_events.position;

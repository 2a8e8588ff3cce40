-- +goose Up

-- The order of the event stream: given after the commit, by one writer at a
-- time, and part of the data, so that it survives dump and restore. Null until
-- then. transaction_id stays for the releases that order by it.
alter table ticket_events add column position bigint;
create sequence ticket_event_positions owned by ticket_events.position;

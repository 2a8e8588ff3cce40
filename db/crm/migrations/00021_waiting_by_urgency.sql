-- +goose NO TRANSACTION
-- +goose Up

-- Waiting tickets are assigned by priority, then age.
drop index concurrently if exists tickets_waiting_by_urgency;
create index concurrently tickets_waiting_by_urgency on tickets (priority desc, created_at, id) where waiting_since is not null;
drop index concurrently if exists tickets_waiting;

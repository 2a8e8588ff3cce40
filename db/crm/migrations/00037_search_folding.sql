-- +goose NO TRANSACTION
-- +goose Up

-- The indexes of the rows that are still to be folded by the present rules.
create index concurrently if not exists ticket_search_folding on ticket_search (ticket_id) where folding < 1;
create index concurrently if not exists ticket_comments_folding on ticket_comments (id) where folding < 1;

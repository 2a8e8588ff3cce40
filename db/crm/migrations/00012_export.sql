-- +goose NO TRANSACTION
-- +goose Up
create index concurrently ticket_comments_author on ticket_comments (author_id, id);

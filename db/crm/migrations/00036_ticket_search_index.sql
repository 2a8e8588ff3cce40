-- +goose NO TRANSACTION
-- +goose Up

create index concurrently if not exists ticket_search_words on ticket_search using gin (search);
-- A binary of the previous release searches without the old index, only more slowly.
drop index concurrently if exists tickets_search;

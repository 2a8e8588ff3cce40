-- +goose NO TRANSACTION
-- +goose Up
create index concurrently users_search on users using gin (search gin_trgm_ops);

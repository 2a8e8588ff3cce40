-- +goose Up
-- The content of a sensitive notification is in no answer, and is erased once no
-- recipient waits for it.
alter table notifications add column sensitive boolean not null default false;

-- +goose Down
alter table notifications drop column sensitive;

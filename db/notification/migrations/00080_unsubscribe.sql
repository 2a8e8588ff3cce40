-- +goose Up
alter table notifications add column unsubscribe_url text;

-- +goose Down
alter table notifications drop column unsubscribe_url;

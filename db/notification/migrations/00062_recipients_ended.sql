-- +goose Up
alter table recipients validate constraint recipients_ended;

-- +goose Down
select 1;

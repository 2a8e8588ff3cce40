-- +goose Up
alter table recipients validate constraint recipients_end;

-- +goose Down
select 1;

-- +goose Up

-- Whether mails are sent, by all replicas. The table has one row.
create table sending (
    one       boolean primary key default true check (one),
    paused_at timestamptz,
    paused_by text        not null default ''
);
insert into sending default values;

-- +goose Down
drop table sending;

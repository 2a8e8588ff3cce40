-- +goose Up

-- The files of a notification's mails, stored once for all its recipients. They can't be
-- compressed further as a rule, and are read whole.
alter table notifications add column files smallint not null default 0;

create table notification_files (
    notification_id uuid     not null references notifications on delete cascade,
    ordinal         smallint not null check (ordinal between 0 and 9),
    filename        text     not null,
    media_type      text     not null,
    content         bytea    not null,
    primary key (notification_id, ordinal)
);
alter table notification_files alter column content set storage external;

-- +goose Down
drop table notification_files;
alter table notifications drop column files;

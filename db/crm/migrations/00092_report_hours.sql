-- +goose Up

-- The same as ticket_report_days for the hours of days that are not stored yet, so
-- that a report doesn't read the events of the whole day that it is made on.
create table ticket_report_hours (
    hour       timestamptz not null,
    person_id  uuid        references users,
    created    integer     not null,
    accepted   integer     not null,
    resolved   integer     not null,
    reopened   integer     not null,
    to_accept  bytea       not null,
    to_resolve bytea       not null
);
create unique index ticket_report_hours_key on ticket_report_hours (hour, coalesce(person_id, '00000000-0000-0000-0000-000000000000'));

-- +goose Down
drop table ticket_report_hours;

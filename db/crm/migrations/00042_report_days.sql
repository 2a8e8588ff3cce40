-- +goose Up

-- The figures of reports, per day (UTC) that is over and per person, so that a
-- report on a year doesn't read a year's events. The service computes them from
-- ticket_events, in the background, also for the days before this table.
-- Durations are big-endian int2, in buckets (see ReportFigures).
create table ticket_report_days (
    day        date    not null,
    person_id  uuid    references users,
    created    integer not null,
    accepted   integer not null,
    resolved   integer not null,
    reopened   integer not null,
    to_accept  bytea   not null,
    to_resolve bytea   not null
);
-- One row without a person is there for each stored day, with what counts for the
-- day alone.
create unique index ticket_report_days_key on ticket_report_days (day, coalesce(person_id, '00000000-0000-0000-0000-000000000000'));

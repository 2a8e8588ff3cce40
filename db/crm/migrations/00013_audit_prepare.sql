-- +goose NO TRANSACTION
-- +goose Up

-- Prepares the next migration, by which the table of the first release becomes the
-- first partition without a scan under its lock. Each step may run again after a
-- failure.
drop index concurrently if exists audit_events_time;
create unique index concurrently audit_events_time on audit_events (created_at, id);

alter table audit_events drop constraint if exists audit_events_first_range;
-- +goose StatementBegin
do $$
begin
    execute format('alter table audit_events add constraint audit_events_first_range check (created_at < %L) not valid',
        (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC');
end $$;
-- +goose StatementEnd
alter table audit_events validate constraint audit_events_first_range;

-- +goose NO TRANSACTION
-- +goose Up

-- Prepares the next migration, by which the tables that there are become first
-- partitions without a scan under its lock. Each step may run again after a failure.

-- The smallest UUIDv7 (RFC 9562, section 5.7) of a millisecond.
-- +goose StatementBegin
create or replace function uuid_from(at timestamptz) returns uuid language sql immutable strict as $$
    select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
$$;
-- +goose StatementEnd

-- The time in a UUIDv7.
-- +goose StatementBegin
create or replace function uuid_time(id uuid) returns timestamptz language sql immutable strict as $$
    select to_timestamp(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint / 1000.0);
$$;
-- +goose StatementEnd

-- A first partition ends with the month after that of its newest row, and not before
-- the end of next month, so that no row that is inserted meanwhile is beyond it.
alter table attempts drop constraint if exists attempts_first_range;
alter table inbound_raw drop constraint if exists inbound_raw_first_range;
-- +goose StatementBegin
do $$
declare
    name text; key text; newest uuid;
begin
    foreach name in array array['attempts', 'inbound_raw'] loop
        key := case name when 'attempts' then 'recipient_id' else 'mail_id' end;
        execute format('select %I from %I order by 1 desc limit 1', key, name) into newest;
        execute format('alter table %I add constraint %I check (%I < %L) not valid', name, name || '_first_range', key,
            uuid_from((date_trunc('month', greatest(now(), uuid_time(newest)) at time zone 'UTC') + interval '2 months') at time zone 'UTC'));
    end loop;
end $$;
-- +goose StatementEnd
alter table attempts validate constraint attempts_first_range;
alter table inbound_raw validate constraint inbound_raw_first_range;

-- +goose Down
alter table attempts drop constraint if exists attempts_first_range;
alter table inbound_raw drop constraint if exists inbound_raw_first_range;
drop function uuid_time(uuid);
drop function uuid_from(timestamptz);

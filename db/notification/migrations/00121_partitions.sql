-- +goose Up

-- The attempts, and the bytes of mails that came in, are partitioned by the month (UTC)
-- of the recipient's and the mail's id, a UUIDv7, so that old ones are deleted by dropping
-- a table and a lookup by id reads one partition. Statements of older versions are served
-- as before. A row of a month that has no partition yet is kept in the partition _rest.
alter table attempts rename to attempts_first;
alter table attempts_first rename constraint attempts_pkey to attempts_first_pkey;
alter index attempts_at rename to attempts_first_at;
alter table inbound_raw rename to inbound_raw_first;
alter table inbound_raw_first rename constraint inbound_raw_pkey to inbound_raw_first_pkey;

create table attempts (
    recipient_id uuid            not null,
    number       integer         not null constraint attempts_number_check check (number > 0),
    at           timestamptz     not null,
    server       text            not null,
    code         smallint        constraint attempts_code_check check (code between 200 and 599),
    reply        text            not null,
    outcome      attempt_outcome not null,
    primary key (recipient_id, number)
) partition by range (recipient_id);
create index attempts_at on attempts using brin (at) with (pages_per_range = 16, autosummarize = on);

create table inbound_raw (
    mail_id uuid    not null,
    ordinal integer not null constraint inbound_raw_ordinal_check check (ordinal >= 0),
    data    bytea   not null,
    primary key (mail_id, ordinal)
) partition by range (mail_id);
alter table inbound_raw alter column data set storage external;

-- +goose StatementBegin
do $$
declare
    name text;
begin
    foreach name in array array['attempts', 'inbound_raw'] loop
        execute format('alter table %I attach partition %I for values from (minvalue) to (%L)', name, name || '_first',
            (select substring(pg_get_constraintdef(oid) from '''([^'']+)''')::uuid
             from pg_constraint where conname = name || '_first_range' and conrelid = (name || '_first')::regclass));
        execute format('alter table %I drop constraint %I', name || '_first', name || '_first_range');
        execute format('create table %I partition of %I default', name || '_rest', name);
    end loop;
end $$;
-- +goose StatementEnd

-- The partitions of a table: the ids in each are from starts on, null for the first, and
-- before ends, null for the one of the rest.
-- +goose StatementBegin
create function partitions_of(parent regclass) returns table (name text, starts uuid, ends uuid) language sql stable as $$
    select c.oid::regclass::text, substring(pg_get_expr(c.relpartbound, c.oid) from 'FROM \(''([^'']+)''\)')::uuid,
        substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::uuid
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = parent;
$$;
-- +goose StatementEnd

-- Makes the partitions of a table for all months that begin before until. Attaching a
-- table needs a weaker lock than creating a partition in place. What is in the partition
-- of the rest is moved to its month.
-- +goose StatementBegin
create function partitions_make(parent text, key text, until timestamptz) returns void language plpgsql as $$
declare
    month timestamptz; next_month timestamptz; name text; rest text := parent || '_rest';
begin
    perform pg_advisory_xact_lock(hashtextextended('fixdesk notification: partitions of ' || parent, 0));
    -- While this waits for a lock, all later statements wait behind it.
    set local lock_timeout = '200ms';
    select uuid_time(p.ends) into month
    from partitions_of(parent::regclass) p where p.ends is not null
    order by p.ends desc limit 1;
    while month < until loop
        next_month := (month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
        name := parent || '_' || to_char(month at time zone 'UTC', 'YYYYMM');
        execute format('create table %I (like %I including defaults including constraints including storage)', name, parent);
        execute format('lock table %I in share row exclusive mode', rest);
        execute format('with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
            rest, key, uuid_from(month), key, uuid_from(next_month), name);
        execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, name, uuid_from(month), uuid_from(next_month));
        month := next_month;
    end loop;
end $$;
-- +goose StatementEnd

-- Drops the partitions that ended before a time and have none of whose ids holder has a
-- row. Returns the end of the last that had ended before long_before and is kept, null
-- without one.
-- +goose StatementBegin
create function partitions_drop(parent text, holder text, before timestamptz, long_before timestamptz) returns uuid language plpgsql as $$
declare
    old record; needed boolean; kept uuid;
begin
    perform pg_advisory_xact_lock(hashtextextended('fixdesk notification: partitions of ' || parent, 0));
    set local lock_timeout = '200ms';
    for old in select * from partitions_of(parent::regclass) p where p.ends <= uuid_from(before) order by p.ends loop
        execute format('select exists (select from %I where id >= %L and id < %L)', holder,
            coalesce(old.starts, '00000000-0000-0000-0000-000000000000'), old.ends) into needed;
        if not needed then
            execute format('drop table %s', old.name);
        elsif old.ends <= uuid_from(long_before) then
            kept := old.ends;
        end if;
    end loop;
    return kept;
end $$;
-- +goose StatementEnd

-- These have the rights of the schema's owner, so that the role of the service needs none
-- to change the schema. Only who is granted them may call them.
-- +goose StatementBegin
create function attempts_partitions_make(until timestamptz) returns void language sql as $$
    select partitions_make('attempts', 'recipient_id', until);
$$;
-- +goose StatementEnd
-- +goose StatementBegin
create function attempts_partitions_drop(before timestamptz, long_before timestamptz) returns uuid language sql as $$
    select partitions_drop('attempts', 'recipients', before, long_before);
$$;
-- +goose StatementEnd
-- +goose StatementBegin
create function inbound_partitions_make(until timestamptz) returns void language sql as $$
    select partitions_make('inbound_raw', 'mail_id', until);
$$;
-- +goose StatementEnd
-- +goose StatementBegin
create function inbound_partitions_drop(before timestamptz, long_before timestamptz) returns uuid language sql as $$
    select partitions_drop('inbound_raw', 'inbound_mails', before, long_before);
$$;
-- +goose StatementEnd
-- +goose StatementBegin
do $$
declare
    f text;
begin
    foreach f in array array['attempts_partitions_make', 'attempts_partitions_drop', 'inbound_partitions_make', 'inbound_partitions_drop'] loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', f, current_schema());
        execute format('revoke execute on function %s from public', f);
    end loop;
end $$;
-- +goose StatementEnd

-- Attempts are dropped with their month instead of with their recipient.
drop trigger recipients_delete_attempts on recipients;
drop function recipients_delete_attempts();

select attempts_partitions_make(now() + interval '3 months'), inbound_partitions_make(now() + interval '3 months');

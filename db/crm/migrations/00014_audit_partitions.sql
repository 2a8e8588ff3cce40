-- +goose Up

-- The audit is partitioned by month of created_at (UTC), so that old entries are
-- deleted by dropping a table. It has no foreign key to users, whose rows are
-- never deleted, since dropping a partition would lock users, too.
alter table audit_events rename to audit_events_first;
drop trigger audit_events_append_only on audit_events_first;
drop function audit_events_are_append_only();
alter table audit_events_first drop constraint audit_events_actor_id_fkey;
alter table audit_events_first drop constraint audit_events_pkey;
alter table audit_events_first add constraint audit_events_first_pkey primary key using index audit_events_time;
drop index audit_events_newest;
alter index audit_events_actor rename to audit_events_first_actor;
alter index audit_events_object rename to audit_events_first_object;
alter index audit_events_kind rename to audit_events_first_kind;

create table audit_events (
    id         uuid        not null,
    kind       text        not null,
    actor_id   uuid,
    object_id  uuid,
    before     jsonb,
    after      jsonb,
    address    inet,
    request_id text        not null default '',
    created_at timestamptz not null,
    primary key (created_at, id)
) partition by range (created_at);
create index audit_events_actor on audit_events (actor_id, created_at desc, id desc);
create index audit_events_object on audit_events (object_id, created_at desc, id desc);
create index audit_events_kind on audit_events (kind, created_at desc, id desc);

-- +goose StatementBegin
do $$
begin
    execute format('alter table audit_events attach partition audit_events_first for values from (minvalue) to (%L)',
        (select substring(pg_get_constraintdef(oid) from '''([^'']+)''')::timestamptz
         from pg_constraint where conname = 'audit_events_first_range' and conrelid = 'audit_events_first'::regclass));
end $$;
-- +goose StatementEnd
alter table audit_events_first drop constraint audit_events_first_range;

-- Single entries are never deleted, and an update may only remove names of persons.
-- +goose StatementBegin
create function audit_events_keep() returns trigger language plpgsql as $$
declare
    naming constant text[] := array['name', 'email', 'reason'];
begin
    if tg_op = 'UPDATE' then
        if (new.id, new.kind, new.actor_id, new.object_id, new.request_id, new.created_at)
            is not distinct from (old.id, old.kind, old.actor_id, old.object_id, old.request_id, old.created_at)
            and (new.before is not distinct from old.before or new.before = old.before - naming)
            and (new.after is not distinct from old.after or new.after = old.after - naming)
            and (new.address is null or new.address = old.address)
        then
            return new;
        end if;
    end if;
    raise exception 'audit events are append-only' using errcode = 'insufficient_privilege';
end $$;
-- +goose StatementEnd
create trigger audit_events_keep before update or delete on audit_events
    for each row execute function audit_events_keep();
create trigger audit_events_keep_all before truncate on audit_events
    for each statement execute function audit_events_keep();
create trigger audit_events_keep_all before truncate on audit_events_first
    for each statement execute function audit_events_keep();

-- +goose StatementBegin
create function audit_partitions() returns table (name text, ends_at timestamptz) language sql stable as $$
    select c.oid::regclass::text, substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \(''([^'']+)''\)')::timestamptz
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit_events'::regclass;
$$;
-- +goose StatementEnd

-- Creates the partitions of all months that begin before until. Attaching a table
-- needs a weaker lock on the audit than creating a partition in place.
-- +goose StatementBegin
create function audit_partitions_prepare(until timestamptz) returns void language plpgsql as $$
declare
    starts timestamptz; ends timestamptz; name text;
begin
    perform pg_advisory_xact_lock(hashtextextended('fixdesk identity: audit partitions', 0));
    select max(p.ends_at) into starts from audit_partitions() p;
    while starts < until loop
        ends := (starts at time zone 'UTC' + interval '1 month') at time zone 'UTC';
        name := 'audit_events_' || to_char(starts at time zone 'UTC', 'YYYYMM');
        execute format('create table %I (like audit_events including defaults)', name);
        execute format('alter table audit_events attach partition %I for values from (%L) to (%L)', name, starts, ends);
        execute format('create trigger audit_events_keep_all before truncate on %I for each statement execute function audit_events_keep()', name);
        starts := ends;
    end loop;
end $$;
-- +goose StatementEnd

-- Drops the partitions in which every entry is older than before; returns how many.
-- +goose StatementBegin
create function audit_partitions_drop(before timestamptz) returns integer language plpgsql as $$
declare
    old text; dropped integer := 0;
begin
    perform pg_advisory_xact_lock(hashtextextended('fixdesk identity: audit partitions', 0));
    -- While a drop waits for a lock, all later statements wait behind it.
    set local lock_timeout = '200ms';
    for old in select p.name from audit_partitions() p where p.ends_at <= before order by p.ends_at loop
        execute format('drop table %s', old);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;
-- +goose StatementEnd

select audit_partitions_prepare(now() + interval '3 months');

-- name: ReportFigures :many
-- Figures of the tickets in a period, per day (UTC) and person; see the type
-- Report for what is counted where. Without a person is what counts for the day
-- alone: tickets that customers raised, and reopenings of what nobody had resolved.
-- A duration of s seconds is in the bucket round(1000 * ln(1 + s)); buckets are
-- written as big-endian int2, one behind the other.
with changes as materialized (
    select e.id, e.ticket_id, e.actor_id, e.created_at,
           case when e.kind in ('created', 'accepted') then e.kind
                when e.changes->'status'->>'to' = 'resolved' then 'resolved'
                else 'reopened' end as what
    from ticket_events e
    where e.created_at >= @since::timestamptz and e.created_at < @until::timestamptz
      and (e.kind in ('created', 'accepted')
           or e.kind in ('status_changed', 'reopened')
              and (e.changes->'status'->>'to' = 'resolved'
                   or e.changes->'status'->>'from' in ('resolved', 'closed')
                      and ticket_is_active((e.changes->'status'->>'to')::ticket_status)))
),
measured as (
    select (h.created_at at time zone 'UTC')::date as day, h.what,
           case when h.what <> 'reopened' then h.actor_id else
               (select r.actor_id from ticket_events r
                where r.ticket_id = h.ticket_id and (r.created_at, r.id) < (h.created_at, h.id)
                  and r.kind = 'status_changed' and r.changes->'status'->>'to' = 'resolved'
                order by r.created_at desc, r.id desc limit 1) end as person_id,
           case when h.what = 'accepted' and not exists (
               select from ticket_events a
               where a.ticket_id = h.ticket_id and (a.created_at, a.id) < (h.created_at, h.id) and a.kind = 'accepted')
           then greatest(extract(epoch from h.created_at - t.created_at)::float8, 0) end as to_accept,
           case when h.what = 'resolved' then greatest(extract(epoch from h.created_at - coalesce(
               (select max(b.created_at) from ticket_events b
                where b.ticket_id = h.ticket_id and (b.created_at, b.id) < (h.created_at, h.id)
                  and b.kind in ('status_changed', 'reopened')
                  and b.changes->'status'->>'from' in ('resolved', 'closed')
                  and ticket_is_active((b.changes->'status'->>'to')::ticket_status)),
               t.created_at))::float8, 0) end as to_resolve
    from changes h
    -- offset 0 keeps this from being planned as a join with all tickets.
    left join lateral (select t.created_at from tickets t where t.id = h.ticket_id and h.what in ('accepted', 'resolved') offset 0) t on true
),
bucketed as (
    select m.day, m.what,
           case when m.what <> 'created' or (select u.role <> 'customer' from users u where u.id = m.person_id) then m.person_id end as person_id,
           int2send(round(1000 * ln(1 + m.to_accept))::int2) as to_accept,
           int2send(round(1000 * ln(1 + m.to_resolve))::int2) as to_resolve
    from measured m
)
select to_char(b.day, 'YYYY-MM-DD')::text as day, coalesce(b.person_id, '00000000-0000-0000-0000-000000000000')::uuid as person_id,
       (count(*) filter (where b.what = 'created'))::integer  as created,
       (count(*) filter (where b.what = 'accepted'))::integer as accepted,
       (count(*) filter (where b.what = 'resolved'))::integer as resolved,
       (count(*) filter (where b.what = 'reopened'))::integer as reopened,
       coalesce(string_agg(b.to_accept, ''), '')::bytea  as to_accept,
       coalesce(string_agg(b.to_resolve, ''), '')::bytea as to_resolve
from bucketed b
group by b.day, b.person_id;

-- name: ReportDayMissing :one
-- The last day, up to the given one, that isn't stored, and since whose end
-- there have been tickets; empty when all are. No event is older than the first
-- ticket.
select coalesce(to_char(max(d.day), 'YYYY-MM-DD'), '')::text as day
from generate_series(
    (select (t.created_at at time zone 'UTC')::date from tickets t order by t.created_at, t.id limit 1)::timestamp,
    to_date(@last_day::text, 'YYYY-MM-DD')::timestamp, interval '1 day') as d(day)
where not exists (select from ticket_report_days r where r.day = d.day::date and r.person_id is null);

-- name: ReportDayStore :exec
-- Stores the figures of a day, which has none stored.
insert into ticket_report_days (day, person_id, created, accepted, resolved, reopened, to_accept, to_resolve)
select to_date(@day::text, 'YYYY-MM-DD'), nullif(f.person_id, '00000000-0000-0000-0000-000000000000'), f.created, f.accepted, f.resolved, f.reopened, f.to_accept, f.to_resolve
from (select unnest(@person_ids::uuid[]) as person_id, unnest(@created::integer[]) as created, unnest(@accepted::integer[]) as accepted,
             unnest(@resolved::integer[]) as resolved, unnest(@reopened::integer[]) as reopened,
             unnest(@to_accept::bytea[]) as to_accept, unnest(@to_resolve::bytea[]) as to_resolve) f;

-- name: ReportHoursStored :many
select distinct hour from ticket_report_hours where hour >= @since::timestamptz;

-- name: ReportHourStore :exec
-- Stores the figures of an hour, which has none stored.
insert into ticket_report_hours (hour, person_id, created, accepted, resolved, reopened, to_accept, to_resolve)
select @hour::timestamptz, nullif(f.person_id, '00000000-0000-0000-0000-000000000000'), f.created, f.accepted, f.resolved, f.reopened, f.to_accept, f.to_resolve
from (select unnest(@person_ids::uuid[]) as person_id, unnest(@created::integer[]) as created, unnest(@accepted::integer[]) as accepted,
             unnest(@resolved::integer[]) as resolved, unnest(@reopened::integer[]) as reopened,
             unnest(@to_accept::bytea[]) as to_accept, unnest(@to_resolve::bytea[]) as to_resolve) f;

-- name: ReportHoursDelete :exec
delete from ticket_report_hours where hour < @before::timestamptz;

-- name: ReportPeople :many
select u.id, u.name from users u where u.id = any(@ids::uuid[]) order by u.name, u.id;

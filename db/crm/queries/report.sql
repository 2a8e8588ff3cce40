-- name: ReportTickets :many
-- Figures of the tickets in a period, per day (UTC), per person and in
-- total; see the type Report for what is counted where. Medians and 90th
-- percentiles are interpolated; they are 0 where nothing was measured.
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
    select to_char(h.created_at at time zone 'UTC', 'YYYY-MM-DD') as day, h.what,
           case when h.what <> 'reopened' then h.actor_id else
               (select r.actor_id from ticket_events r
                where r.ticket_id = h.ticket_id and (r.created_at, r.id) < (h.created_at, h.id)
                  and r.kind = 'status_changed' and r.changes->'status'->>'to' = 'resolved'
                order by r.created_at desc, r.id desc limit 1) end as person_id,
           case when h.what = 'accepted' and not exists (
               select from ticket_events a
               where a.ticket_id = h.ticket_id and (a.created_at, a.id) < (h.created_at, h.id) and a.kind = 'accepted')
           then extract(epoch from h.created_at - t.created_at)::float8 end as to_accept,
           case when h.what = 'resolved' then extract(epoch from h.created_at - coalesce(
               (select max(b.created_at) from ticket_events b
                where b.ticket_id = h.ticket_id and (b.created_at, b.id) < (h.created_at, h.id)
                  and b.kind in ('status_changed', 'reopened')
                  and b.changes->'status'->>'from' in ('resolved', 'closed')
                  and ticket_is_active((b.changes->'status'->>'to')::ticket_status)),
               t.created_at))::float8 end as to_resolve
    from changes h
    join tickets t on t.id = h.ticket_id
),
figures as (
    select grouping(day) = 0 as per_day, grouping(person_id) = 0 as per_person, day, person_id,
           count(*) filter (where what = 'created')  as created,
           count(*) filter (where what = 'accepted') as accepted,
           count(*) filter (where what = 'resolved') as resolved,
           count(*) filter (where what = 'reopened') as reopened,
           count(to_accept)                                         as accept_count,
           percentile_cont(0.5) within group (order by to_accept)   as accept_median,
           percentile_cont(0.9) within group (order by to_accept)   as accept_p90,
           count(to_resolve)                                        as resolve_count,
           percentile_cont(0.5) within group (order by to_resolve)  as resolve_median,
           percentile_cont(0.9) within group (order by to_resolve)  as resolve_p90
    from measured
    group by grouping sets ((day), (person_id), ())
)
select f.per_day::boolean as per_day, f.per_person::boolean as per_person, coalesce(f.day, '')::text as day,
       coalesce(u.id, '00000000-0000-0000-0000-000000000000')::uuid as person_id, coalesce(u.name, '')::text as person_name,
       f.created::bigint as created, f.accepted::bigint as accepted, f.resolved::bigint as resolved, f.reopened::bigint as reopened,
       f.accept_count::bigint as accept_count,
       coalesce(f.accept_median, 0)::float8 as accept_median, coalesce(f.accept_p90, 0)::float8 as accept_p90,
       f.resolve_count::bigint as resolve_count,
       coalesce(f.resolve_median, 0)::float8 as resolve_median, coalesce(f.resolve_p90, 0)::float8 as resolve_p90
from figures f
left join users u on u.id = f.person_id
-- Customers who only created tickets are not listed.
where not f.per_person
   or u.id is not null and (u.role <> 'customer' or f.accepted + f.resolved + f.reopened > 0)
order by f.per_day desc, f.day, u.name, u.id;

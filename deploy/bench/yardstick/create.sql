\set seq :seq + 1
\set c random(1, 200)
select u.id, u.name, u.email, u.role
from sessions s join users u on u.id = s.user_id
where s.id = ('00000000-0000-0000-0002-' || lpad(:c::text, 12, '0'))::uuid and s.user_id = ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid and s.revoked_at is null and s.expires_at > now() and u.status = 'approved';
with chosen as materialized (
    select engineer_choose(array[('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid]) as engineer
    where case
        when exists (select from idempotency_keys k
                     where k.user_id = ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid and k.key = null::text) then false
        when false then true
        else rate_limit_hit('tickets-account:' || md5(:c::text), now()::timestamptz, make_interval(secs => 3600), 1000000000)
    end
),
assignee as (
    select (engineer->>'id')::uuid as id, engineer->>'name' as name, engineer->>'email' as email,
           engineer->'candidates' as candidates
    from chosen
    where engineer is not null
),
ticket as (
    insert into tickets (id, title, description, priority, reporter_id, assignee_id, waiting_since, created_at, updated_at, has_files)
    select (:seq::text || lpad(:client_id::text, 3, '0') || '0000000000001')::uuid, :title::text, :description::text,
           'normal'::ticket_priority, ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid, a.id,
           case when a.id is null then now()::timestamptz end, now()::timestamptz, now()::timestamptz, false
    from chosen
    left join assignee a on true
    returning id, number, assignee_id
),
searchable as (
    insert into ticket_search (ticket_id, search, folding)
    select t.id, setweight(to_tsvector('simple', :title_words::text), 'A') || setweight(to_tsvector('simple', :description_words::text), 'B'),
           1::smallint
    from ticket t
),
created_event as (
    insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at)
    select (:seq::text || lpad(:client_id::text, 3, '0') || '0000000000002')::uuid, t.id, 'created', ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid, :created::jsonb, now()
    from ticket t
),
assigned_event as (
    insert into ticket_events (id, ticket_id, kind, changes, created_at)
    select (:seq::text || lpad(:client_id::text, 3, '0') || '0000000000003')::uuid, t.id, 'assigned',
           jsonb_build_object(
               'assignee', jsonb_build_object('from', null, 'to', jsonb_build_object('id', a.id, 'name', a.name)),
               'why', jsonb_build_object('cause', 'created', 'rule', 'fewest_active_then_longest_unassigned', 'candidates', a.candidates)),
           now()
    from ticket t, assignee a
),
receipt as (
    insert into outbox (id, kind, reference, data, request_id, created_at)
    select (:seq::text || lpad(:client_id::text, 3, '0') || '0000000000004')::uuid, 'ticket_received', t.id,
           :receipt::jsonb || jsonb_build_object('number', t.number, 'assignee_name', coalesce((select name from assignee), '')),
           'bench', now()
    from ticket t
    where not false
),
assigned_notice as (
    insert into outbox (id, kind, reference, data, request_id, created_at)
    select (:seq::text || lpad(:client_id::text, 3, '0') || '0000000000005')::uuid, 'ticket_assigned', t.id,
           :assigned::jsonb || jsonb_build_object('number', t.number,
               'to', jsonb_build_object('id', a.id, 'name', a.name, 'email', a.email)),
           'bench', now()
    from ticket t, assignee a
    where a.id <> ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid
),
remembered as (
    insert into idempotency_keys (user_id, key, request_hash, object_id, response, created_at)
    select ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid, null::text, null::bytea, t.id,
           jsonb_build_object('number', t.number, 'reporter', :receipt::jsonb->'to',
                              'assignee_id', a.id, 'assignee_name', a.name, 'created_at', now()),
           now()
    from ticket t
    left join assignee a on true
    where null::text is not null
)
select t.number, t.assignee_id, coalesce((select name from assignee), '')::text as assignee_name
from ticket t;

\set seq :seq + 1
\set n :n + 1
\set t 1 + (:n * 16 + :client_id) % 40000
\set c 201 + (:t / 100) % 40
\set p (:n * 16 + :client_id) / 40000 % 2
select u.id, u.name, u.email, u.role
from sessions s join users u on u.id = s.user_id
where s.id = ('00000000-0000-0000-0002-' || lpad(:c::text, 12, '0'))::uuid and s.user_id = ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid and s.revoked_at is null and s.expires_at > now() and u.status = 'approved';
begin;
select id from tickets where id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid for no key update;
select t.id, t.number, t.title, t.description, t.status, t.priority,
       t.reporter_id, r.name as reporter_name, (case when r.erased_at is null then r.email else '' end)::text as reporter_email, t.assignee_id, coalesce(a.name, '')::text as assignee_name,
       t.resolution, t.blocked_reason, t.waiting_for, t.version,
       t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files
from tickets t
join users r on r.id = t.reporter_id
left join users a on a.id = t.assignee_id
where t.id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid;
select u.id, u.name, u.email, u.role, (u.id = t.reporter_id)::boolean as is_reporter,
       (u.id <> t.reporter_id and u.id is distinct from t.assignee_id)::boolean as is_follower
from tickets t
join users u on u.id = any (array[t.reporter_id, t.assignee_id] || array(select f.user_id from ticket_followers f where f.ticket_id = t.id))
where t.id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid and u.status = 'approved' and (u.id is distinct from t.assignee_id or u.id = t.reporter_id or u.role <> 'customer');
update tickets
set priority = (case when :p = 0 then 'urgent' else 'low' end)::ticket_priority, version = version + 1, updated_at = now()
where id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid;
insert into ticket_events (id, ticket_id, kind, actor_id, internal, changes, created_at)
values ((:seq::text || lpad(:client_id::text, 3, '0') || '0000000000001')::uuid, ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid, 'updated', ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid, false, :updated::jsonb, now());
select c.body, u.name as author_name
from ticket_comments c
join users u on u.id = c.author_id
where c.ticket_id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid and not c.internal and c.removed_at is null
order by c.created_at desc, c.id desc
limit 1;
insert into outbox (id, kind, reference, data, request_id, created_at)
values ((:seq::text || lpad(:client_id::text, 3, '0') || '0000000000002')::uuid, 'ticket_changed', ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid, :changed::jsonb, 'bench', now());
commit;

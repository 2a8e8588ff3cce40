\set t random(1, 10000)
\set c case when :t % 20 = 0 then 1 else 1 + :t % 200 end
select u.id, u.name, u.email, u.role
from sessions s join users u on u.id = s.user_id
where s.id = ('00000000-0000-0000-0002-' || lpad(:c::text, 12, '0'))::uuid and s.user_id = ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid
  and s.revoked_at is null and s.expires_at > now() and u.status = 'approved';
select t.id, t.number, t.title, t.description, t.status, t.priority,
       t.reporter_id, r.name as reporter_name, (case when r.erased_at is null then r.email else '' end)::text as reporter_email, t.assignee_id, coalesce(a.name, '')::text as assignee_name,
       t.resolution, t.blocked_reason, t.waiting_for, t.version,
       t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files
from tickets t
join users r on r.id = t.reporter_id
left join users a on a.id = t.assignee_id
where t.id = ('00000000-0000-0000-0003-' || lpad(:t::text, 12, '0'))::uuid;

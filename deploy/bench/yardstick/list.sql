\set c random(201, 240)
select u.id, u.name, u.email, u.role
from sessions s join users u on u.id = s.user_id
where s.id = ('00000000-0000-0000-0002-' || lpad(:c::text, 12, '0'))::uuid and s.user_id = ('00000000-0000-0000-0001-' || lpad(:c::text, 12, '0'))::uuid and s.revoked_at is null and s.expires_at > now() and u.status = 'approved';
select t.id, t.number, t.title, t.description, t.status, t.priority,
	t.reporter_id, r.name, case when r.erased_at is null then r.email else '' end, t.assignee_id, coalesce(a.name, ''),
	t.resolution, t.blocked_reason, t.waiting_for, t.version,
	t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files, to_char(t.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24/MI/SS.US"Z"'), (select jsonb_build_object('author', jsonb_build_object('id', u.id, 'name', u.name), 'at', c.created_at, 'internal', c.internal, 'text', left(c.body, 320))
	from ticket_comments c join users u on u.id = c.author_id
	where c.ticket_id = t.id and c.removed_at is null
	order by c.created_at desc, c.id desc limit 1)
from tickets t
	join users r on r.id = t.reporter_id
	left join users a on a.id = t.assignee_id
where t.status in ('open')
order by t.created_at desc, t.id desc
limit 21;

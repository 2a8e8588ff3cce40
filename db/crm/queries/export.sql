-- name: ExportSessions :many
select id, created_at, used_at, expires_at, revoked_at, address, user_agent
from sessions where user_id = @user_id and id > @after order by id limit @max_rows;

-- name: ExportTickets :many
select id, number, title, description, status::text as status, priority::text as priority, resolution, created_at, updated_at
from tickets where reporter_id = @user_id and (created_at, id) > (@after_at::timestamptz, @after::uuid)
order by created_at, id limit @max_rows;

-- name: ExportComments :many
select id, ticket_id, body, internal, created_at
from ticket_comments where author_id = @user_id and id > @after order by id limit @max_rows;

-- name: ExportAuditEvents :many
-- Each half reads its own index.
(select id, kind, actor_id, object_id, before, after, address, request_id, created_at
 from audit_events
 where actor_id = @user_id::uuid
   and (sqlc.narg(before_at)::timestamptz is null or (created_at, id) < (sqlc.narg(before_at), @before_id::uuid))
 order by created_at desc, id desc limit @max_rows)
union all
(select id, kind, actor_id, object_id, before, after, address, request_id, created_at
 from audit_events
 where object_id = @user_id::uuid and actor_id is distinct from @user_id::uuid
   and (sqlc.narg(before_at)::timestamptz is null or (created_at, id) < (sqlc.narg(before_at), @before_id::uuid))
 order by created_at desc, id desc limit @max_rows)
order by created_at desc, id desc limit @max_rows;

-- name: ExportFollows :many
select f.ticket_id, t.number, f.created_at
from ticket_followers f join tickets t on t.id = f.ticket_id
where f.user_id = @user_id and f.ticket_id > @after order by f.ticket_id limit @max_rows;

-- name: ExportKeys :many
select id, name, scopes, networks, hint, created_at, expires_at, last_used_at
from api_keys where user_id = @user_id and id > @after order by id limit @max_rows;

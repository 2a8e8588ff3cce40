-- name: AuditInsert :exec
insert into audit_events (id, kind, actor_id, object_id, before, after, address, request_id, created_at)
values (@id, @kind, @actor_id, @object_id, @before, @after, @address, @request_id, @now);

-- name: AuditList :many
select id, kind, actor_id, object_id, before, after, address, request_id, created_at
from audit_events
where (sqlc.narg(actor)::uuid is null or actor_id = sqlc.narg(actor))
  and (sqlc.narg(object)::uuid is null or object_id = sqlc.narg(object))
  and (@kind::text = '' or kind = @kind)
  and (sqlc.narg(created_after)::timestamptz is null or created_at > sqlc.narg(created_after))
  and (sqlc.narg(created_before)::timestamptz is null or created_at < sqlc.narg(created_before))
  and (sqlc.narg(before_at)::timestamptz is null
       or (created_at, id) < (sqlc.narg(before_at), @before_id::uuid))
order by created_at desc, id desc
limit @max_rows;

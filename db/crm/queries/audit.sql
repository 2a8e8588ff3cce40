-- name: AuditInsert :exec
insert into audit_events (id, kind, actor_id, object_id, before, after, address, request_id, created_at)
values (@id, @kind, @actor_id, @object_id, @before, @after, @address, @request_id, @now);

-- name: AuditList :many
select e.id, e.kind, e.actor_id, actor.name as actor_name, e.object_id, object.name as object_name,
       e.before, e.after, e.address, e.request_id, e.created_at
from audit_events e
left join users actor on actor.id = e.actor_id
left join users object on object.id = e.object_id
where (sqlc.narg(actor)::uuid is null or e.actor_id = sqlc.narg(actor))
  and (sqlc.narg(object)::uuid is null or e.object_id = sqlc.narg(object))
  and (@kind::text = '' or e.kind = @kind)
  and (sqlc.narg(created_after)::timestamptz is null or e.created_at > sqlc.narg(created_after))
  and (sqlc.narg(created_before)::timestamptz is null or e.created_at < sqlc.narg(created_before))
  and (sqlc.narg(before_at)::timestamptz is null
       or (e.created_at, e.id) < (sqlc.narg(before_at), @before_id::uuid))
order by e.created_at desc, e.id desc
limit @max_rows;

-- name: UserEraseAuditFacts :exec
-- Removes the person's names from the facts about them.
update audit_events set before = before - array['name', 'email', 'reason'], after = after - array['name', 'email', 'reason']
where object_id = @user_id::uuid and (before is not null or after is not null);

-- name: UserEraseAuditAddresses :exec
update audit_events set address = null
where address is not null and (actor_id = @user_id::uuid or (actor_id is null and object_id = @user_id::uuid));

-- name: AuditPartitionsPrepare :exec
select audit_partitions_prepare(@until::timestamptz);

-- name: AuditPartitionsDrop :one
select audit_partitions_drop(@before::timestamptz)::integer as dropped;

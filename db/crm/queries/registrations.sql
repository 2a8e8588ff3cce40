-- name: RegistrationInsert :exec
insert into registrations (user_id, created_at) values (@user_id, @now);

-- name: RegistrationGet :one
select u.id, u.name, u.email, u.role, u.status, u.version,
       u.email_verified_at, u.created_at, u.updated_at,
       r.decided_by, r.decided_at, r.reason
from registrations r join users u on u.id = r.user_id
where r.user_id = @user_id and u.erased_at is null;

-- name: RegistrationDecide :execrows
-- Changes nothing for a user whose role needed no approval.
update registrations set decided_by = @decided_by::uuid, decided_at = @now::timestamptz, reason = sqlc.narg(reason)
where user_id = @user_id;

-- name: RegistrationList :many
select u.id, u.name, u.email, u.role, u.status, u.version,
       u.email_verified_at, u.created_at, u.updated_at,
       r.decided_by, r.decided_at, r.reason
from registrations r join users u on u.id = r.user_id
where u.erased_at is null
  and (sqlc.narg(role)::user_role is null or u.role = sqlc.narg(role))
  and (sqlc.narg(status)::user_status is null or u.status = sqlc.narg(status))
  and (sqlc.narg(before_at)::timestamptz is null
       or (r.created_at, r.user_id) < (sqlc.narg(before_at), @before_id::uuid))
order by r.created_at desc, r.user_id desc
limit @max_rows;

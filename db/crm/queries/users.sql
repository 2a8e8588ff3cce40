-- name: UserInsert :exec
insert into users (id, name, email, search, password_hash, role, status, email_verified_at, created_at, updated_at)
values (@id, @name, @email, @search, sqlc.narg(password_hash), @role, @status, sqlc.narg(email_verified_at), @now, @now);

-- name: CustomerEnsure :one
-- Makes a customer without a password; no row where the address is taken.
insert into users (id, name, email, search, role, status, created_at, updated_at)
values (@id, @name, @email, @search, 'customer', 'approved', @now, @now)
on conflict (email) do nothing
returning id;

-- name: UserIDByEmail :one
select id from users where email = @email;

-- name: UserGet :one
select id, name, email, role, status, version, email_verified_at, created_at, updated_at
from users where id = @id and erased_at is null;

-- name: UserByEmail :one
-- Includes the hash and the reason of a rejection, which a login needs.
select u.id, u.name, u.email, u.password_hash, u.role, u.status, u.version,
       u.email_verified_at, u.created_at, u.updated_at, r.reason
from users u left join registrations r on r.user_id = u.id
where u.email = @email;

-- name: UserCredentials :one
-- Locks the row until the end of the transaction, so that a login sees no change.
select password_hash, status from users where id = @id for share;

-- name: UserLock :one
-- The row lock does not block inserts of rows that refer to the user.
select id, name, email, role, status, version, email_verified_at, created_at, updated_at
from users where id = @id and erased_at is null for no key update;

-- name: UserUpdate :exec
update users set name = @name, email = @email, search = @search, role = @role, status = @status,
       email_verified_at = sqlc.narg(email_verified_at), version = version + 1, updated_at = @now
where id = @id;

-- name: UserChangePassword :execrows
-- Changes nothing where the password has changed since it was checked.
update users set password_hash = @new_hash, version = version + 1, updated_at = @now
where id = @id and password_hash = @old_hash;

-- name: UserSetPassword :exec
update users set password_hash = @password_hash, version = version + 1, updated_at = @now
where id = @id;

-- name: UserList :many
-- A query with a pattern needs a plan of its own (see Service.Users).
select id, name, email, role, status, version, email_verified_at, created_at, updated_at
from users
where erased_at is null
  and (sqlc.narg(role)::user_role is null or role = sqlc.narg(role))
  and (sqlc.narg(status)::user_status is null or status = sqlc.narg(status))
  and (@pattern::text = '' or search like @pattern)
  and (sqlc.narg(before_at)::timestamptz is null
       or (created_at, id) < (sqlc.narg(before_at), @before_id::uuid))
order by created_at desc, id desc
limit @max_rows;

-- name: UserErase :exec
-- The row stays, because tickets and comments refer to it.
update users set name = @name, email = @email, search = '', password_hash = null,
       status = 'suspended', email_verified_at = null, erased_at = @now::timestamptz, version = version + 1, updated_at = @now::timestamptz
where id = @id;

-- name: UserEraseRegistration :exec
update registrations set reason = null where user_id = @user_id;

-- name: UserEraseSessions :exec
delete from sessions where user_id = @user_id;

-- name: UserEraseKeys :exec
delete from api_keys where user_id = @user_id;

-- name: UserEraseResets :exec
delete from password_resets where user_id = @user_id;

-- name: UserEraseVerifications :exec
delete from email_verifications where user_id = @user_id;

-- name: UserErasePreferences :exec
delete from preferences where user_id = @user_id;

-- name: UserEraseDigest :exec
delete from digest_items where user_id = @user_id;

-- name: UserEraseIdempotencyKeys :exec
delete from idempotency_keys where user_id = @user_id;

-- name: UserEraseNotices :exec
-- Deletes the notices about the account, and those not yet mailed to the person.
delete from outbox
where reference = @user_id or (done_at is null and data #>> '{to,id}' = @user_id::text);

-- name: UserEraseMailsTo :exec
-- Has the notification service erase the mails to an address.
insert into mail_erasures (email_hash, due_at) values ($1, $2)
on conflict (email_hash) do update set due_at = excluded.due_at;

-- name: AdminChangesLock :exec
-- Serialises the removal of approved admins, so that one always remains.
select pg_advisory_xact_lock(hashtextextended('fixdesk identity: approved admins', 0));

-- name: AdminExistsBesides :one
select exists (select from users where role = 'admin' and status = 'approved' and id <> @id);

-- name: AdminList :many
-- The approved admins who are notified of pending registrations.
select id, name, email from users u
where role = 'admin' and status = 'approved'
  and not exists (select from preferences p where p.user_id = u.id and 'registration_waiting' = any(p.refused))
order by id;

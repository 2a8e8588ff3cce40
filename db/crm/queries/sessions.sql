-- name: SessionInsert :exec
insert into sessions (id, user_id, created_at, expires_at, used_at, address, user_agent)
values (@id, @user_id, @now, @expires_at, @now, @address, @user_agent);

-- name: SessionPrincipals :many
-- Read for every request: the users of those sessions that are valid, if approved. The
-- lateral query is planned for each session, so that no table is read whole; the plan is
-- kept, since the select hides how many there are from the planner.
select p.session_id, p.id, p.name, p.email, p.role, p.verified
from unnest((select @session_ids::uuid[])) as wanted(id)
cross join lateral (
    select s.id as session_id, u.id, u.name, u.email, u.role, (u.email_verified_at is not null)::boolean as verified
    from sessions s join users u on u.id = s.user_id
    where s.id = wanted.id and s.revoked_at is null and s.expires_at > @now and u.status = 'approved'
    offset 0) p;

-- name: SessionList :many
select id, created_at, used_at, expires_at, address, user_agent
from sessions
where user_id = @user_id and revoked_at is null and expires_at > @now
  and (sqlc.narg(before_at)::timestamptz is null
       or (created_at, id) < (sqlc.narg(before_at), @before_id::uuid))
order by created_at desc, id desc
limit @max_rows;

-- name: SessionUse :exec
update sessions set used_at = @now, address = @address, user_agent = @user_agent where id = @id;

-- name: SessionRevoke :execrows
update sessions set revoked_at = @now::timestamptz
where id = @id and user_id = @user_id and revoked_at is null and expires_at > @now::timestamptz;

-- name: SessionRevokeAll :exec
-- Ends all sessions of the user except the given one; the nil id excepts none.
update sessions set revoked_at = @now::timestamptz
where user_id = @user_id and revoked_at is null and id <> @except_id;

-- name: SessionPurge :execrows
-- Their refresh tokens are deleted with them.
delete from sessions where id in (
    select s.id from sessions s where s.expires_at < @before order by s.expires_at limit @max_rows for update skip locked);

-- name: RefreshTokenInsert :exec
insert into refresh_tokens (token_hash, session_id, created_at) values (@token_hash, @session_id, @now);

-- name: RefreshTokenLock :one
-- Concurrent requests with the same token are processed one after the other.
select token_hash, session_id, spent_at, successor_sealed from refresh_tokens
where token_hash = @token_hash for update;

-- name: SessionOfRefreshToken :one
select s.id, s.user_id from refresh_tokens t join sessions s on s.id = t.session_id where t.token_hash = @token_hash;

-- name: RefreshTokenIsSpent :one
select (spent_at is not null)::boolean as spent from refresh_tokens where token_hash = @token_hash;

-- name: RefreshTokenSpend :exec
update refresh_tokens set spent_at = @now::timestamptz, successor_sealed = @successor_sealed::bytea
where token_hash = @token_hash;

-- name: SessionWithUser :one
select s.user_id, s.expires_at, s.revoked_at, u.name, u.email, u.role, u.status, u.version,
       u.email_verified_at, u.created_at, u.updated_at
from sessions s join users u on u.id = s.user_id
where s.id = @id;

-- name: PasswordResetInsert :exec
insert into password_resets (token_hash, user_id, created_at, expires_at)
values (@token_hash, @user_id, @now, @expires_at);

-- name: PasswordResetOwner :one
select u.id, u.name, u.email, (u.password_hash is not null)::boolean as has_password from password_resets p join users u on u.id = p.user_id
where p.token_hash = @token_hash and p.used_at is null and p.expires_at > @now;

-- name: PasswordResetUse :one
-- A token is used once: of two concurrent uses one finds it unused.
update password_resets set used_at = @now::timestamptz
where token_hash = @token_hash and used_at is null and expires_at > @now::timestamptz
returning user_id;

-- name: PasswordResetVoidAll :exec
update password_resets set used_at = @now::timestamptz where user_id = @user_id and used_at is null;

-- name: MailedTokensVoid :exec
-- Those of resets and invitations, and those that verify an address.
with resets as (
    update password_resets set used_at = @now::timestamptz where token_hash = any(@hashes::bytea[]) and used_at is null
)
update email_verifications set used_at = @now::timestamptz where token_hash = any(@hashes::bytea[]) and used_at is null;

-- name: PasswordResetPurge :execrows
delete from password_resets where token_hash in (
    select p.token_hash from password_resets p where p.expires_at < @before order by p.expires_at limit @max_rows for update skip locked);

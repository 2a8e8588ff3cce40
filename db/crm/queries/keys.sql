-- name: KeyPrincipal :one
-- Read on every request with an API key: the key of a valid secret, and its owner,
-- if approved.
select k.id as key_id, k.scopes, k.networks, k.last_used_at, u.id, u.name, u.email, u.role, (u.email_verified_at is not null)::boolean as verified
from api_key_secrets s join api_keys k on k.id = s.key_id join users u on u.id = k.user_id
where s.secret_hash = @secret_hash and (s.expires_at is null or s.expires_at > @now::timestamptz)
  and k.expires_at > @now::timestamptz and u.status = 'approved';

-- name: KeyUse :exec
-- Skips a locked row, so that a request never waits to be recorded.
update api_keys set last_used_at = @now::timestamptz
where id in (
    select k.id from api_keys k where k.id = @id and (k.last_used_at is null or k.last_used_at <= @before::timestamptz)
    for no key update skip locked);

-- name: KeyCount :one
select count(*) from api_keys where user_id = @user_id and expires_at > @now;

-- name: KeyInsert :exec
insert into api_keys (id, user_id, name, scopes, networks, hint, created_at, expires_at)
values (@id, @user_id, @name, @scopes, @networks, @hint, @now, @expires_at);

-- name: KeyGet :one
select k.id, k.user_id, u.name as owner_name, k.name, k.scopes, k.networks, k.hint, k.created_at, k.expires_at, k.last_used_at
from api_keys k join users u on u.id = k.user_id
where k.id = @id;

-- name: KeyLock :one
select k.id, k.user_id, u.name as owner_name, k.name, k.scopes, k.networks, k.hint, k.created_at, k.expires_at, k.last_used_at
from api_keys k join users u on u.id = k.user_id
where k.id = @id for no key update of k;

-- name: KeyList :many
select k.id, k.user_id, u.name as owner_name, k.name, k.scopes, k.networks, k.hint, k.created_at, k.expires_at, k.last_used_at
from api_keys k join users u on u.id = k.user_id
where (sqlc.narg(user_id)::uuid is null or k.user_id = sqlc.narg(user_id))
  and (sqlc.narg(before_at)::timestamptz is null
       or (k.created_at, k.id) < (sqlc.narg(before_at), @before_id::uuid))
order by k.created_at desc, k.id desc
limit @max_rows;

-- name: KeyRotate :exec
update api_keys set hint = @hint, expires_at = @expires_at where id = @id;

-- name: KeyDelete :execrows
delete from api_keys where id = @id;

-- name: KeyPurge :execrows
delete from api_keys where id in (
    select k.id from api_keys k where k.expires_at < @before order by k.expires_at limit @max_rows for update skip locked);

-- name: KeySecretInsert :exec
insert into api_key_secrets (secret_hash, key_id, created_at) values (@secret_hash, @key_id, @now);

-- name: KeySecretsEnd :exec
-- Ends all secrets of a key, at the latest at the given time.
update api_key_secrets set expires_at = least(expires_at, @until::timestamptz) where key_id = @key_id;

-- name: KeySecretsCount :one
select count(*) from api_key_secrets where key_id = @key_id and expires_at > @now::timestamptz;

-- name: KeySecretPurge :execrows
delete from api_key_secrets where secret_hash in (
    select s.secret_hash from api_key_secrets s where s.expires_at < @before::timestamptz order by s.expires_at limit @max_rows for update skip locked);

-- name: KeyOwner :one
-- The owner of a valid key, if approved, for URLs that the key's holder had signed.
select k.scopes, k.networks, u.id, u.name, u.email, u.role, (u.email_verified_at is not null)::boolean as verified
from api_keys k join users u on u.id = k.user_id
where k.id = @id and u.id = @user_id and k.expires_at > @now::timestamptz and u.status = 'approved';

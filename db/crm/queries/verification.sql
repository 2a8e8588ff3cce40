-- name: EmailVerificationInsert :exec
insert into email_verifications (token_hash, user_id, email, created_at, expires_at)
values (@token_hash, @user_id, @email, @now, @expires_at);

-- name: EmailVerificationUse :one
-- A token is used once: of two concurrent uses one finds it unused.
update email_verifications set used_at = @now::timestamptz
where token_hash = @token_hash and used_at is null and expires_at > @now::timestamptz
returning user_id, email;

-- name: EmailVerificationVoidAll :exec
update email_verifications set used_at = @now::timestamptz where user_id = @user_id and used_at is null;

-- name: UserVerifyEmail :execrows
-- Only while the address is the one that the token was sent to.
update users set email_verified_at = @now::timestamptz, version = version + 1, updated_at = @now::timestamptz
where id = @id and email = @email and email_verified_at is null and erased_at is null;

-- name: EmailVerificationPurge :execrows
delete from email_verifications where token_hash in (
    select v.token_hash from email_verifications v where v.expires_at < @before order by v.expires_at limit @max_rows for update skip locked);

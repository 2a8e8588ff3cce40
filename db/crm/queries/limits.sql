-- name: RateLimitHit :one
-- Counts one in the window that ends now; returns no row when the limit is reached.
insert into rate_limits as l (key, hits, expires_at)
values (@key, array[@at::timestamptz], @expires_at)
on conflict (key) do update
set hits = rate_limit_hits_since(l.hits, @since) || excluded.hits, expires_at = excluded.expires_at
where cardinality(rate_limit_hits_since(l.hits, @since)) < @max_hits::integer
returning hits;

-- name: RateLimitRead :one
-- The hits within the window, oldest first.
select rate_limit_hits_since(hits, @since)::timestamptz[] as hits from rate_limits where key = @key;

-- name: RateLimitLock :one
-- The same as RateLimitRead; no hit is counted until the end of the transaction.
select rate_limit_hits_since(hits, @since)::timestamptz[] as hits from rate_limits where key = @key for update;

-- name: RateLimitReset :exec
delete from rate_limits where key = @key;

-- name: RateLimitPurge :execrows
delete from rate_limits where key in (
    select r.key from rate_limits r where r.expires_at < @before order by r.expires_at limit @max_rows for update skip locked);

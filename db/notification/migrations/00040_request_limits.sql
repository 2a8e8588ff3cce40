-- +goose Up

-- The token buckets of callers (pkg/ratelimit): when each is full again. The key is
-- a hash. The table is unlogged, since after a crash full buckets are right enough.
-- It has no index on full_at, so that an update writes no index.
create unlogged table request_limits (
    key     bytea       primary key check (length(key) = 16),
    full_at timestamptz not null
) with (fillfactor = 50);

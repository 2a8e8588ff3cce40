-- name: SendingGet :one
-- Whether sending is paused, and how many recipients are held back: they wait for a
-- time that doesn't come.
select s.paused_at, s.paused_by, (
    select count(*) from recipients r
    where r.queue_at is null and r.lease_token is null and r.finished_at is null and r.next_attempt_at = @held_until::timestamptz
) as held
from sending s;

-- name: SendingPause :exec
-- The first pause stays.
update sending set paused_at = @now, paused_by = @by where paused_at is null;

-- name: SendingResume :exec
update sending set paused_at = null, paused_by = '';

-- name: SendingHold :execrows
-- Holds back what is not finished and was due before a moment.
update recipients r
set queue_at = null, lease_token = null, leased_until = null, next_attempt_at = @held_until::timestamptz
where r.finished_at is null and r.enqueued_at < @before and r.next_attempt_at <> @held_until;

-- name: SendingRelease :execrows
-- Makes held recipients due. Giving up counts from now on, as after a manual retry.
with held as (
    select r.id from recipients r
    where r.queue_at is null and r.lease_token is null and r.finished_at is null and r.next_attempt_at = @held_until::timestamptz
    limit @max::integer
    for update skip locked
)
update recipients r
set next_attempt_at = @now::timestamptz, enqueued_at = @now
from held
where r.id = held.id;

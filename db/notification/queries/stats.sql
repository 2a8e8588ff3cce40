-- name: StatsCounts :many
select status, sum(recipients)::bigint as recipients, count(*) as changes
from recipient_counts
group by status;

-- name: StatsFold :execrows
-- Replaces counted changes by their sum.
with taken as (
    delete from recipient_counts c
    where c.ctid = any(array(
        select f.ctid from recipient_counts f limit @max::integer for update skip locked))
    returning c.status, c.recipients
), folded as (
    insert into recipient_counts (status, recipients)
    select status, sum(recipients) from taken group by status
)
select status from taken;

-- name: StatsOldestDue :one
-- The earlier of the due times of the next recipient in the queue and the next one
-- that waits; the given time if there is none.
select coalesce(least(
    (select r.next_attempt_at from recipients r where r.queue_at is not null order by r.queue_at limit 1),
    (select r.next_attempt_at from recipients r
     where r.queue_at is null and r.lease_token is null and r.finished_at is null
     order by r.next_attempt_at limit 1)), @now::timestamptz)::timestamptz as due_at;

-- name: StatsSentSince :one
select count(*) from attempts where at > @since and outcome = 'sent';

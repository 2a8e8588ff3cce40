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
-- The earliest of the due times of the next recipients in the queue, one of each
-- priority, and the next one that waits; the given time if there is none. Places
-- before @normal_from are of urgent mails, those from @bulk_from on of bulk mails.
select coalesce(least(
    (select r.next_attempt_at from recipients r
     where r.queue_at is not null and r.queue_at < @normal_from::timestamptz
     order by r.queue_at limit 1),
    (select r.next_attempt_at from recipients r
     where r.queue_at is not null and r.queue_at >= @normal_from and r.queue_at < @bulk_from::timestamptz
     order by r.queue_at limit 1),
    (select r.next_attempt_at from recipients r
     where r.queue_at is not null and r.queue_at >= @bulk_from
     order by r.queue_at limit 1),
    (select r.next_attempt_at from recipients r
     where r.queue_at is null and r.lease_token is null and r.finished_at is null
     order by r.next_attempt_at limit 1)), @now::timestamptz)::timestamptz as due_at;

-- name: StatsSentSince :one
select count(*) from attempts where at > @since and outcome = 'sent';

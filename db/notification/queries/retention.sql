-- name: RetentionPurge :one
-- Examines the next notifications in the order of their creation and deletes
-- those whose last recipient ended before the given time, with their rows in other
-- tables.
with examined as (
    select n.id from notifications n
    where n.id > @after_id and n.id < @before_id
    order by n.id
    limit @max::integer
), deleted as (
    delete from notifications n using examined e
    where n.id = e.id and not exists (
        select 1 from recipients r
        where r.notification_id = n.id and (r.finished_at is null or r.finished_at >= @ended_before::timestamptz))
    returning n.id
)
select (select count(*) from examined) as examined, (select count(*) from deleted) as deleted,
    coalesce((select max(e.id::text)::uuid from examined e), @after_id)::uuid as last_id;

-- name: RetentionErase :one
-- Examines the next sensitive notifications that still have their content and
-- erases it where no recipient waits for it. Recipients of a sensitive
-- notification are never queued again, so that none can need it afterwards.
with examined as (
    select n.id from notifications n
    where n.sensitive and n.text <> '' and n.id > @after_id
    order by n.id
    limit @max::integer
), erased as (
    update notifications n set text = '', html = null, reply_to = null, unsubscribe_url = null
    from examined e
    where n.id = e.id and not exists (
        select 1 from recipients r where r.notification_id = n.id and r.finished_at is null)
    returning n.id
), erased_files as (
    delete from notification_files f using erased e where f.notification_id = e.id
)
select (select count(*) from examined) as examined, (select count(*) from erased) as erased,
    coalesce((select max(e.id::text)::uuid from examined e), @after_id)::uuid as last_id;

-- name: AttemptPartitionsMake :exec
select attempts_partitions_make(@until::timestamptz);

-- name: AttemptPartitionsDrop :one
-- Drops the months that ended before the given time and of whose recipients none is left.
-- Returns the end of the last month that had ended before long_before and still has one.
select coalesce(attempts_partitions_drop(@before::timestamptz, @long_before::timestamptz), '00000000-0000-0000-0000-000000000000')::uuid as kept_before;

-- name: AttemptPurge :one
-- Examines the next recipients that have attempts and deletes the attempts of those that
-- are gone.
with examined as (
    select distinct a.recipient_id from attempts a
    where a.recipient_id > @after_id and a.recipient_id < @before_id
    order by a.recipient_id
    limit @max::integer
), deleted as (
    delete from attempts a using examined e
    where a.recipient_id = e.recipient_id and not exists (select 1 from recipients r where r.id = e.recipient_id)
)
select (select count(*) from examined) as examined,
    coalesce((select max(e.recipient_id::text)::uuid from examined e), @after_id)::uuid as last_id;

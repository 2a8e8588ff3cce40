-- name: ErasureAdd :exec
insert into erasures (email_hash, before_id, due_at) values (@email_hash::bytea, @before_id::uuid, @now::timestamptz)
on conflict (email_hash) do update set before_id = excluded.before_id, position = '00000000-0000-0000-0000-000000000000',
    waiting = false, due_at = excluded.due_at;

-- name: ErasureNext :one
select email_hash, before_id from erasures where due_at <= @now::timestamptz order by due_at, email_hash limit 1;

-- name: ErasureStep :one
-- Examines the next recipients and erases those with the address that have ended: the
-- address, what servers answered about it, and the content of a notification that was
-- theirs alone. Such a notification can't be sent again. Examines none when the erasure was
-- asked for anew meanwhile, with another before_id.
with examined as (
    select r.id, r.finished_at, sha256(convert_to(r.email, 'UTF8')) = @email_hash::bytea as meant
    from recipients r
    where r.id > (select s.position from erasures s where s.email_hash = @email_hash::bytea and s.before_id = @before_id::uuid)
        and r.id < @before_id::uuid
    order by r.id
    limit @max::integer
), erased as (
    update recipients r set email = 'erased@erased.invalid', last_error = null
    where r.id = any(array(select x.id from examined x where x.meant and x.finished_at is not null))
    returning r.id, r.notification_id
), replies as (
    update attempts a set reply = '' where a.recipient_id = any(array(select x.id from erased x))
), reports as (
    update delivery_reports d set text = '', server = null where d.recipient_id = any(array(select x.id from erased x))
), contents as (
    update notifications n
    set subject = '', text = '', html = null, reply_to = null, unsubscribe_url = null, sensitive = true
    where n.id = any(array(select x.notification_id from erased x)) and n.recipient_count = 1
    returning n.id
), files as (
    delete from notification_files f where f.notification_id = any(array(select x.id from contents x))
), moved as (
    update erasures e
    set position = coalesce((select max(x.id::text)::uuid from examined x), e.position),
        waiting = e.waiting or exists (select from examined x where x.meant and x.finished_at is null)
    where e.email_hash = @email_hash::bytea and e.before_id = @before_id::uuid
)
select (select count(*) from examined) as examined, (select count(*) from erased) as erased;

-- name: ErasureEnd :exec
-- Ends a search, which begins anew later when a mail was still to be sent.
with done as (
    delete from erasures d where d.email_hash = @email_hash::bytea and d.before_id = @before_id::uuid and not d.waiting
)
update erasures e set position = '00000000-0000-0000-0000-000000000000', waiting = false, due_at = @again_at::timestamptz
where e.email_hash = @email_hash::bytea and e.before_id = @before_id::uuid and e.waiting;

-- name: InboundInsert :batchone
-- Stores each mail with the last piece of its bytes, all by one transaction. No row for
-- one that is stored already. The index that decides is not named, so that this serves
-- also when it is not one of this table.
with mail as (
    insert into inbound_mails (id, received_at, source, envelope_from, envelope_to, size, fingerprint)
    values (@id, @received_at, @source, @envelope_from, @envelope_to::text[], @size, @fingerprint)
    on conflict do nothing
    returning inbound_mails.id
), piece as (
    insert into inbound_raw (mail_id, ordinal, data)
    select m.id, @ordinal, @data from mail m
)
select mail.id from mail;

-- name: InboundRepeat :one
-- Counts one more arrival of a mail that is stored.
update inbound_mails set arrivals = arrivals + 1 where fingerprint = @fingerprint returning id;

-- name: InboundPieceInsert :exec
insert into inbound_raw (mail_id, ordinal, data) values (@mail_id, @ordinal, @data);

-- name: InboundPiecesDelete :exec
delete from inbound_raw where mail_id = @mail_id;

-- name: InboundPiece :one
select data from inbound_raw where mail_id = @mail_id and ordinal = @ordinal;

-- name: InboundPieces :many
select data from inbound_raw where mail_id = @mail_id order by ordinal;

-- name: InboundClaim :many
-- The oldest mails that were not read yet, those that were tried least first. Each is
-- counted as tried, in a transaction that ends before it is read.
update inbound_mails m set tries = m.tries + 1
from (
    select r.id from inbound_mails r
    where r.status = 'received'
    order by r.tries, r.id
    limit @max::integer
    for update skip locked
) c
where m.id = c.id
returning m.id, m.tries, m.size;

-- name: InboundLockSmall :many
-- Claimed mails of one piece, locked until they are read, with their bytes. Those that
-- another replica reads or has read are left out.
select m.id, m.envelope_from, m.envelope_to, r.data
from inbound_mails m join inbound_raw r on r.mail_id = m.id and r.ordinal = 0
where m.id = any(@ids::uuid[]) and m.status = 'received'
order by m.id
for update of m skip locked;

-- name: InboundLock :one
-- A claimed mail, locked until it is read. No row when another replica reads it or
-- has read it.
select id, envelope_from, envelope_to, size from inbound_mails
where id = @id and status = 'received'
for update skip locked;

-- name: InboundRead :exec
-- Stores what mails say.
update inbound_mails m set status = r.status::inbound_status, content = r.content::jsonb, content_size = octet_length(r.content)
from (select unnest(@ids::uuid[]) as id, unnest(@statuses::text[]) as status, unnest(@contents::text[]) as content) r
where m.id = r.id;

-- name: InboundGet :one
select id, received_at, source, envelope_from, envelope_to, size, arrivals, status,
    coalesce(content, '{}')::jsonb as content, result, reference, acknowledged_at
from inbound_mails
where id = @id;

-- name: InboundListPending :many
-- The oldest mails that wait for their consumer, as many as fit into the size.
select id, received_at, source, envelope_from, envelope_to, size, arrivals, status,
    coalesce(content, '{}')::jsonb as content, result, reference, acknowledged_at
from (
    select m.*, sum(m.content_size) over (order by m.id) - m.content_size as size_before
    from (
        select * from inbound_mails p
        where p.status = 'pending' and p.id > @after_id
        order by p.id
        limit @max::integer
    ) m
) n
where n.size_before < @max_size::bigint
order by n.id;

-- name: InboundList :many
-- Mails of any status, oldest first, as many as fit into the size.
select id, received_at, source, envelope_from, envelope_to, size, arrivals, status,
    coalesce(content, '{}')::jsonb as content, result, reference, acknowledged_at
from (
    select m.*, sum(m.content_size) over (order by m.id) - m.content_size as size_before
    from (
        select * from inbound_mails p
        where (sqlc.narg(status)::inbound_status is null or p.status = sqlc.narg(status)) and p.id > @after_id
        order by p.id
        limit @max::integer
    ) m
) n
where n.size_before < @max_size::bigint
order by n.id;

-- name: InboundAck :one
-- Acknowledges a pending mail, or changes nothing when it has this result already.
update inbound_mails set status = 'acknowledged',
    result = @result, reference = sqlc.narg(reference), acknowledged_at = coalesce(acknowledged_at, @now::timestamptz)
where id = @id and (status = 'pending'
    or status = 'acknowledged' and result = @result and reference is not distinct from sqlc.narg(reference))
returning id;

-- name: InboundReset :one
-- Has a mail read again.
update inbound_mails set status = 'received', content = null, content_size = 0, tries = 0,
    result = null, reference = null, acknowledged_at = null
where id = @id
returning id;

-- name: InboundDelete :one
-- Deletes a mail that is done, with its bytes. No row for one that is not.
with deleted as (
    delete from inbound_mails where id = @id and status in ('acknowledged', 'handled')
    returning id
), pieces as (
    delete from inbound_raw r using deleted d where r.mail_id = d.id
)
select id from deleted;

-- name: InboundPurge :one
-- Examines the next old mails and deletes those that are done. Their bytes go with their
-- month.
with examined as (
    select m.id, m.status from inbound_mails m
    where m.id > @after_id and m.id < @before_id
    order by m.id
    limit @max::integer
), deleted as (
    delete from inbound_mails m using examined e
    where m.id = e.id and m.status in ('acknowledged', 'handled')
    returning m.id
)
select (select count(*) from examined) as examined, (select count(*) from deleted) as deleted,
    coalesce((select max(e.id::text)::uuid from examined e), @after_id)::uuid as last_id;

-- name: InboundPartitionsMake :exec
select inbound_partitions_make(@until::timestamptz);

-- name: InboundPartitionsDrop :one
-- Drops the months that ended before the given time and of whose mails none is left.
-- Returns the end of the last month that had ended before long_before and still has one.
select coalesce(inbound_partitions_drop(@before::timestamptz, @long_before::timestamptz), '00000000-0000-0000-0000-000000000000')::uuid as kept_before;

-- name: InboundPurgePieces :one
-- Examines the bytes of mails whose transfer began before the given id and deletes
-- those of mails that are not stored.
with examined as (
    select distinct r.mail_id from inbound_raw r
    where r.mail_id > @after_id and r.mail_id < @before_id
    order by r.mail_id
    limit @max::integer
), deleted as (
    delete from inbound_raw r using examined e
    where r.mail_id = e.mail_id and not exists (select 1 from inbound_mails m where m.id = e.mail_id)
    returning r.mail_id
)
select (select count(*) from examined) as examined, (select count(distinct mail_id) from deleted) as deleted,
    coalesce((select max(e.mail_id::text)::uuid from examined e), @after_id)::uuid as last_id;

-- name: InboundWaiting :one
-- How many mails wait, for being read or for their consumer, and since when.
select count(*) as waiting, coalesce(min(w.received_at), @now::timestamptz)::timestamptz as oldest
from (
    select r.received_at from inbound_mails r where r.status = 'received'
    union all
    select p.received_at from inbound_mails p where p.status = 'pending'
) w;

-- name: InboundUntry :exec
update inbound_mails set tries = tries - 1 where id = @id and status = 'received' and tries > 0;

-- name: MailboxGet :one
select uid_validity, last_uid, backlog, read_at from inbound_mailboxes where name = @name;

-- name: MailboxStart :exec
-- Begins to read a mailbox that is new or was made anew.
insert into inbound_mailboxes (name, uid_validity, last_uid, backlog, read_at)
values (@name, @uid_validity, @last_uid, @backlog::bigint[], @now::timestamptz)
on conflict (name) do update set uid_validity = excluded.uid_validity, last_uid = excluded.last_uid,
    backlog = excluded.backlog, read_at = excluded.read_at;

-- name: MailboxAdvance :one
-- Marks a mail as read. No row when it was marked before.
update inbound_mailboxes set last_uid = greatest(last_uid, @uid::bigint), backlog = array_remove(backlog, @uid::bigint), read_at = @now::timestamptz
where name = @name and uid_validity = @uid_validity and (last_uid < @uid or @uid = any(backlog))
returning name;

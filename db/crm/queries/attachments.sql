-- name: AttachmentGet :one
select a.id, a.owner_id, a.filename, a.ticket_id, a.comment_id, coalesce(m.internal, false)::boolean as internal, a.created_at,
       c.sha256, c.size, c.media_type, c.scan, c.store, c.object
from attachments a
join attachment_contents c on c.id = a.content_id
left join ticket_comments m on m.id = a.comment_id
where a.id = $1;

-- name: AttachmentLock :many
-- The files of a person that belong to no ticket yet, locked.
select id from attachments
where id = any(@ids::uuid[]) and owner_id = @owner_id and ticket_id is null
order by id
for no key update;

-- name: AttachmentNames :many
-- In the order of the ids.
select id, filename, size from attachments where id = any(@ids::uuid[]) order by array_position(@ids::uuid[], id);

-- name: AttachmentListMailed :many
-- Files of tickets and of public comments, in the order of the ids.
select a.filename, c.size, c.media_type, c.scan, c.store, c.object
from attachments a
join attachment_contents c on c.id = a.content_id
left join ticket_comments m on m.id = a.comment_id
where a.id = any(@ids::uuid[]) and a.ticket_id is not null and m.internal is not true
order by array_position(@ids::uuid[], a.id);

-- name: AttachmentAttach :execrows
update attachments a
set ticket_id = @ticket_id::uuid, comment_id = sqlc.narg('comment_id')::uuid, position = given.position
from unnest(@ids::uuid[]) with ordinality as given (id, position)
where a.id = given.id and a.ticket_id is null;

-- name: AttachmentListTicket :many
select a.id, a.filename, a.created_at, c.sha256, c.size, c.media_type, c.scan, c.store, c.object
from attachments a
join attachment_contents c on c.id = a.content_id
where a.ticket_id = @ticket_id::uuid and a.comment_id is null
order by a.position, a.id;

-- name: AttachmentListComments :many
select a.id, a.comment_id::uuid as comment_id, a.filename, a.created_at, c.sha256, c.size, c.media_type, c.scan, c.store, c.object
from attachments a
join attachment_contents c on c.id = a.content_id
where a.comment_id = any(@comment_ids::uuid[])
order by a.comment_id, a.position, a.id;

-- name: AttachmentAdd :exec
insert into attachments (id, content_id, owner_id, filename, size, created_at)
values (@id, @content_id, @owner_id, @filename, @size, @created_at);

-- name: AttachmentUsage :one
-- The bytes that a person uploaded since a time, and when the first of them was.
select coalesce(sum(size), 0)::bigint as bytes, coalesce(min(created_at), @since)::timestamptz as first_at
from attachments
where owner_id = @owner_id and created_at > @since;

-- name: AttachmentOwnerLock :exec
-- Serialises the uploads of one person at their ends, so that none is missed in the sum.
select pg_advisory_xact_lock(hashtextextended('attachments ' || @owner_id::uuid, 0));

-- name: AttachmentRemoveUnattached :one
select attachments_remove(array(
    select id from attachments
    where ticket_id is null and created_at < @before
    order by created_at
    limit @most
    for update skip locked), @now);

-- name: AttachmentRemoveOfComment :one
select attachments_remove(array(select id from attachments where comment_id = @comment_id::uuid), @now);

-- name: UserEraseAttachments :one
select attachments_remove(array(select id from attachments where owner_id = @owner_id), @now);

-- name: AttachmentContentAdd :execrows
insert into attachment_contents (id, sha256, size, media_type, scan, store, object, created_at)
values (@id, @sha256, @size, @media_type, @scan, @store, @object, @created_at)
on conflict (sha256) do nothing;

-- name: AttachmentContentFind :one
-- Locked against removal until the end of the transaction.
select id, media_type, scan from attachment_contents where sha256 = @sha256 for key share;

-- name: AttachmentChunkAdd :exec
-- The commit does not wait for the disk. That of the content comes later and waits for
-- all before it.
insert into attachment_chunks (object, n, data)
select @object::uuid, @n::integer, @data::bytea
where set_config('synchronous_commit', 'off', true) = 'off';

-- name: AttachmentChunkGet :one
select data from attachment_chunks where object = @object and n = @n;

-- name: AttachmentChunkRemove :execrows
delete from attachment_chunks k where k.object = @object and k.n in (
    select c.n from attachment_chunks c where c.object = @object order by c.n limit @most);

-- name: AttachmentRemovalAdd :exec
insert into attachment_removals (object, store, due_at) values (@object, @store, @due_at);

-- name: AttachmentRemovalDue :exec
-- Changes when an object is removed, unless it is removed already.
update attachment_removals set due_at = @due_at where object = @object;

-- name: AttachmentRemovalCancel :execrows
-- Keeps an object, unless it is being removed.
delete from attachment_removals where object = @object and due_at > @now;

-- name: AttachmentRemovalDone :exec
delete from attachment_removals where object = @object;

-- name: AttachmentRemovalNext :many
select object, store from attachment_removals where due_at <= @now order by due_at limit @most;

-- name: AttachmentScanNext :many
-- Contents that were not scanned yet, the longest untried first.
select id, store, object, size from attachment_contents
where scan in ('off', 'pending') and (scanned_at is null or scanned_at < @tried_before::timestamptz)
order by scanned_at nulls first, id
limit @most;

-- name: AttachmentScanned :exec
update attachment_contents set scan = @scan, scanned_at = @now::timestamptz where id = @id;

-- name: AttachmentScanOff :execrows
-- For an installation without a scanner.
update attachment_contents set scan = 'off'
where id in (select c.id from attachment_contents c where c.scan = 'pending' order by c.id limit @most for update skip locked);

-- name: AttachmentMoveNext :many
select id, store, object, size, sha256 from attachment_contents
where store <> @store and id > @after
order by id limit @most;

-- name: AttachmentMoved :execrows
update attachment_contents set store = @to_store, object = @to_object
where id = @id and store = @from_store and object = @from_object;

-- name: ExportAttachments :many
select a.id, a.filename, c.media_type, a.size, encode(c.sha256, 'hex')::text as sha256, a.ticket_id, a.comment_id, a.created_at
from attachments a
join attachment_contents c on c.id = a.content_id
where a.owner_id = @user_id and (a.created_at, a.id) > (@after_at::timestamptz, @after::uuid)
order by a.created_at, a.id limit @max_rows;

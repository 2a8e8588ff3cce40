-- name: InboundBegin :execrows
-- Remembers a mail before anything is done with it; no row where the mail, or the same
-- one by another address, is known. Of concurrent calls one succeeds when the others
-- have ended.
insert into inbound_mails (id, received_at, processed_at, outcome, fingerprint, from_name, from_email, recipients, subject, message_id, content, truncated)
values (@id, @received_at, @processed_at, 'ignored', sqlc.narg('fingerprint'), @from_name, @from_email, @recipients, @subject, @message_id, @content, @truncated)
on conflict do nothing;

-- name: InboundKnown :one
select exists (select from inbound_mails where id = @id or fingerprint = sqlc.narg('fingerprint'));

-- name: InboundFinish :exec
update inbound_mails
set outcome = @outcome, reason = sqlc.narg('reason'), sender_id = sqlc.narg('sender_id'), ticket_id = sqlc.narg('ticket_id'), comment_id = sqlc.narg('comment_id')
where id = @id;

-- name: InboundDuplicate :exec
-- Remembers a mail that came in once more under another id. That of a person who was
-- erased meanwhile is erased, too.
with copied as (
    insert into inbound_mails (id, received_at, processed_at, outcome, sender_id, from_name, from_email, subject, message_id, ticket_id)
    select @id, @received_at, @processed_at, 'duplicate', m.sender_id, m.from_name, m.from_email, m.subject, m.message_id, m.ticket_id
    from inbound_mails m where m.fingerprint = @fingerprint
    on conflict do nothing
    returning id, sender_id, processed_at
)
insert into inbound_erasures (mail_id, due_at)
select c.id, c.processed_at from copied c join users u on u.id = c.sender_id where u.erased_at is not null
on conflict do nothing;

-- name: InboundGet :one
select m.id, m.received_at, m.processed_at, m.outcome, m.reason, m.sender_id, m.from_name, m.from_email, m.recipients, m.subject, m.message_id,
       m.content, m.truncated, m.ticket_id, m.comment_id, t.number as ticket_number, m.decided_by, coalesce(d.name, '')::text as decided_by_name, m.decided_at
from inbound_mails m
left join tickets t on t.id = m.ticket_id
left join users d on d.id = m.decided_by
where m.id = @id;

-- name: InboundLock :one
select id from inbound_mails where id = $1 for no key update;

-- name: InboundOfComment :one
select m.id from inbound_mails m join ticket_comments c on c.id = m.comment_id
where m.comment_id = @comment_id and m.ticket_id = @ticket_id and c.removed_at is null;

-- name: InboundOfTicket :one
select id from inbound_mails where ticket_id = @ticket_id and outcome = 'ticket';

-- name: InboundDecide :exec
update inbound_mails
set outcome = @outcome, ticket_id = sqlc.narg('ticket_id'), comment_id = sqlc.narg('comment_id'), sender_id = coalesce(sqlc.narg('sender_id'), sender_id),
    decided_by = @decided_by::uuid, decided_at = @now::timestamptz
where id = @id;

-- name: InboundList :many
-- Newest first.
select m.id, m.received_at, m.processed_at, m.outcome, m.reason, m.sender_id, m.from_name, m.from_email, m.recipients, m.subject, m.message_id,
       m.ticket_id, m.comment_id, t.number as ticket_number, m.decided_by, coalesce(d.name, '')::text as decided_by_name, m.decided_at
from inbound_mails m
left join tickets t on t.id = m.ticket_id
left join users d on d.id = m.decided_by
where (sqlc.narg('outcome')::inbound_outcome is null or m.outcome = sqlc.narg('outcome'))
  and (m.received_at, m.id) < (@before_at::timestamptz, @before_id::uuid)
order by m.received_at desc, m.id desc
limit @most;

-- name: InboundPurge :execrows
-- Mails without an effect are forgotten after a while.
delete from inbound_mails where id in (
    select m.id from inbound_mails m
    where m.outcome in ('ignored', 'duplicate', 'refused') and m.comment_id is null and m.received_at < @before
    order by m.received_at limit @most for update skip locked);

-- name: InboundEraseOfComment :exec
-- Removes the text of a removed comment.
update inbound_mails set content = '', subject = '', recipients = '[]' where comment_id = @comment_id;

-- name: InboundSender :one
-- The account of an address, if there is one.
select id, name, email, role, status from users where email = @email and erased_at is null;

-- name: InboundTicket :one
-- A ticket that a mail may belong to, and what its sender is to it.
select t.id, t.number, t.reporter_id,
       exists (select from ticket_followers f where f.ticket_id = t.id and f.user_id = @sender_id::uuid)::boolean as sender_follows
from tickets t where t.id = @id;

-- name: CommentRelease :execrows
-- Shows a held comment to everybody who may see the ticket.
update ticket_comments set internal = false where id = @id and internal and removed_at is null;

-- name: FollowerAdd :execrows
insert into ticket_followers (ticket_id, user_id, added_by, created_at)
values (@ticket_id, @user_id, @added_by, @created_at)
on conflict do nothing;

-- name: FollowerGet :one
select f.created_at, f.added_by, a.name as added_by_name
from ticket_followers f
join users a on a.id = f.added_by
where f.ticket_id = @ticket_id and f.user_id = @user_id;

-- name: FollowerRemove :execrows
delete from ticket_followers where ticket_id = @ticket_id and user_id = @user_id;

-- name: FollowerList :many
-- By name.
select f.user_id, u.name, u.email, f.created_at, f.added_by, a.name as added_by_name
from ticket_followers f
join users u on u.id = f.user_id
join users a on a.id = f.added_by
where f.ticket_id = @ticket_id and (u.name, f.user_id) > (@after_name::text, @after_id::uuid)
order by u.name, f.user_id
limit @most;

-- name: FollowerExists :one
select exists (select from ticket_followers where ticket_id = @ticket_id and user_id = @user_id);

-- name: FollowerCount :one
select count(*) from ticket_followers where ticket_id = $1;

-- name: ExportMails :many
select id, received_at, from_name, from_email, subject, message_id, content, outcome::text as outcome
from inbound_mails where sender_id = @user_id and id > @after order by id limit @max_rows;

-- name: UserEraseMails :exec
-- Erases what is kept of a person's mails, also of those that came before the person had
-- an account, and has the notification service delete the mails themselves.
with erased as (
    update inbound_mails set from_name = '', from_email = '', subject = '', recipients = '[]', content = '', message_id = ''
    where sender_id = @user_id::uuid or sender_id is null and lower(from_email) = @email::text
    returning id
)
insert into inbound_erasures (mail_id, due_at) select id, @now::timestamptz from erased
on conflict do nothing;

-- name: InboundErasuresDue :many
select mail_id from inbound_erasures where due_at <= @now::timestamptz order by due_at, mail_id limit @most;

-- name: InboundErasureDone :exec
delete from inbound_erasures where mail_id = @mail_id;

-- name: InboundErasurePostpone :exec
update inbound_erasures set due_at = @due_at where mail_id = @mail_id;

-- name: UserEraseFollows :exec
delete from ticket_followers where user_id = $1;

-- name: TicketCreate :one
-- Creates a ticket in one statement: chooses and locks the engineer (function
-- engineer_next), writes ticket, events, outbox entries and the answer to the
-- Idempotency-Key. It returns no row when the key has been used or the limit of the
-- actor (limit_key, empty for none) is reached. Without waits it fails (FD001) while
-- every engineer is locked.
with chosen as materialized (
    select engineer_next(array[@reporter_id::uuid], @waits::boolean) as engineer
    where case
        when exists (select from idempotency_keys k
                     where k.user_id = @actor_id::uuid and k.key = sqlc.narg('idempotency_key')::text) then false
        when @limit_key::text = '' then true
        else rate_limit_hit(@limit_key, @now::timestamptz, make_interval(secs => @limit_seconds::float8), @limit_most::integer)
    end
),
assignee as (
    select (engineer->>'id')::uuid as id, engineer->>'name' as name, engineer->>'email' as email,
           engineer->'candidates' as candidates
    from chosen
    where engineer is not null
),
ticket as (
    insert into tickets (id, title, description, priority, reporter_id, assignee_id, waiting_since, created_at, updated_at, has_files)
    select @id::uuid, @title::text, @description::text,
           @priority::ticket_priority, @reporter_id::uuid, a.id,
           case when a.id is null then @now::timestamptz end, @now::timestamptz, @now::timestamptz, @has_files::boolean
    from chosen
    left join assignee a on true
    returning id, number, assignee_id
),
searchable as (
    insert into ticket_search (ticket_id, search, folding)
    select t.id, setweight(to_tsvector('simple', @title_words::text), 'A') || setweight(to_tsvector('simple', @description_words::text), 'B'),
           @folding::smallint
    from ticket t
),
created_event as (
    insert into ticket_events (id, ticket_id, kind, actor_id, changes, created_at)
    select @created_event_id::uuid, t.id, 'created', @actor_id, @created_changes::jsonb, @now
    from ticket t
),
assigned_event as (
    insert into ticket_events (id, ticket_id, kind, changes, created_at)
    select @assigned_event_id::uuid, t.id, 'assigned',
           jsonb_build_object(
               'assignee', jsonb_build_object('from', null, 'to', jsonb_build_object('id', a.id, 'name', a.name)),
               'why', jsonb_build_object('cause', 'created', 'rule', @rule::text, 'candidates', a.candidates)),
           @now
    from ticket t, assignee a
),
receipt as (
    insert into outbox (id, kind, reference, data, request_id, created_at, traceparent)
    select @receipt_id::uuid, @receipt_kind::text, t.id,
           @receipt::jsonb || jsonb_build_object('number', t.number, 'assignee_name', coalesce((select name from assignee), '')),
           @request_id::text, @now, sqlc.narg('traceparent')::text
    from ticket t
    where not @no_receipt::boolean
),
assigned_notice as (
    insert into outbox (id, kind, reference, data, request_id, created_at, traceparent)
    select @assigned_notice_id::uuid, @assigned_notice_kind::text, t.id,
           @assigned_notice::jsonb || jsonb_build_object('number', t.number,
               'to', jsonb_build_object('id', a.id, 'name', a.name, 'email', a.email)),
           @request_id, @now, sqlc.narg('traceparent')::text
    from ticket t, assignee a
    where a.id <> @actor_id
),
remembered as (
    insert into idempotency_keys (user_id, key, request_hash, object_id, response, created_at)
    select @actor_id, sqlc.narg('idempotency_key')::text, @request_hash::bytea, t.id,
           jsonb_build_object('number', t.number, 'reporter', @receipt::jsonb->'to',
                              'assignee_id', a.id, 'assignee_name', a.name, 'created_at', @now),
           @now
    from ticket t
    left join assignee a on true
    where sqlc.narg('idempotency_key')::text is not null
)
select t.number, t.assignee_id, coalesce((select name from assignee), '')::text as assignee_name
from ticket t;

-- name: TicketGet :one
-- The columns are those of ticket.Columns, in their order.
select t.id, t.number, t.title, t.description, t.status, t.priority,
       t.reporter_id, r.name as reporter_name, (case when r.erased_at is null then r.email else '' end)::text as reporter_email, t.assignee_id, coalesce(a.name, '')::text as assignee_name,
       t.resolution, t.blocked_reason, t.waiting_for, t.version,
       t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files
from tickets t
join users r on r.id = t.reporter_id
left join users a on a.id = t.assignee_id
where t.id = $1;

-- name: TicketLock :one
-- Locks a ticket. The next statement reads it, since that sees the changes that
-- were committed while this one waited.
select id from tickets where id = $1 for no key update;

-- name: TicketFind :one
select id from tickets where number = $1;

-- name: TicketAudience :many
-- Reporter and assignee of a ticket who may still see it, and its followers: an
-- engineer who has become a customer remains the assignee of closed tickets but
-- doesn't see them.
select u.id, u.name, u.email, u.role, (u.id = t.reporter_id)::boolean as is_reporter,
       (u.id <> t.reporter_id and u.id is distinct from t.assignee_id)::boolean as is_follower
from tickets t
join users u on u.id = any (array[t.reporter_id, t.assignee_id] || array(select f.user_id from ticket_followers f where f.ticket_id = t.id))
where t.id = $1 and u.status = 'approved' and (u.id is distinct from t.assignee_id or u.id = t.reporter_id or u.role <> 'customer');

-- name: TicketUpdate :execrows
-- Compare-and-set on the version. An unchanged long text is not written again.
update tickets
set title = @title,
    description = case when description = @description then description else @description end,
    priority = @priority, status = @status::ticket_status,
    blocked_reason = sqlc.narg('blocked_reason'), waiting_for = sqlc.narg('waiting_for'),
    resolution = case when resolution = sqlc.narg('resolution') then resolution else sqlc.narg('resolution') end,
    accepted_at = @accepted_at, resolved_at = @resolved_at, closed_at = @closed_at,
    waiting_since = case when @status::ticket_status in ('resolved', 'closed') then null else waiting_since end,
    version = version + 1, updated_at = @updated_at
where id = @id and version = @version;

-- name: TicketSearchPut :exec
insert into ticket_search (ticket_id, search, folding)
values (@ticket_id,
        setweight(to_tsvector('simple', @title_words::text), 'A') || setweight(to_tsvector('simple', @description_words::text), 'B'),
        @folding)
on conflict (ticket_id) do update set search = excluded.search, folding = excluded.folding;

-- name: TicketAccept :execrows
-- Accepts only for an engineer who is not leaving, since an admin may have changed
-- their role or status after the request was authenticated.
update tickets
set status = 'in_progress', assignee_id = @engineer_id::uuid, accepted_at = @now::timestamptz, waiting_since = null,
    version = version + 1, updated_at = @now
where id = @id and status = 'open' and (assignee_id is null or assignee_id = @engineer_id)
  and exists (select from engineers e where e.user_id = @engineer_id and not e.leaving);

-- name: TicketClearAssignee :exec
update tickets set assignee_id = null where id = $1;

-- name: TicketDeclineAdd :exec
insert into ticket_declines (ticket_id, engineer_id, reason, created_at)
values (@ticket_id, @engineer_id, @reason, @created_at)
on conflict (ticket_id, engineer_id) do update set reason = excluded.reason, created_at = excluded.created_at;

-- name: TicketTouch :exec
-- A public comment changes the ticket's version; an internal one does not, since
-- customers must not notice it.
update tickets set updated_at = @now, version = version + 1 where id = @id;

-- name: TicketEventList :many
-- Oldest first, from a position on.
select e.id, e.ticket_id, e.kind, e.actor_id, coalesce(u.name, '')::text as actor_name, e.internal, e.changes, e.created_at
from ticket_events e
left join users u on u.id = e.actor_id
where e.ticket_id = @ticket_id
  and (@with_internal::boolean or not e.internal)
  and (e.created_at, e.id) > (@after_created_at::timestamptz, @after_id::uuid)
order by e.created_at, e.id
limit @most;

-- name: CommentGet :one
-- Locks the comment.
select id, body, internal, created_at, removed_at from ticket_comments where id = @id and ticket_id = @ticket_id for update;

-- name: CommentOfMail :one
-- Locks the comment. Its author, whether they are the reporter, and what became of
-- its mail.
select c.id, c.body, c.internal, c.created_at, c.removed_at, u.id as author_id, u.name as author_name, u.email as author_email, u.role as author_role,
       m.id as mail_id, m.outcome
from ticket_comments c
join users u on u.id = c.author_id
join inbound_mails m on m.comment_id = c.id
where c.id = @id and c.ticket_id = @ticket_id
for no key update of c, m;

-- name: CommentRemove :exec
update ticket_comments set body = '', search = '', removed_at = @removed_at::timestamptz where id = @id;

-- name: CommentAdd :exec
insert into ticket_comments (id, ticket_id, author_id, body, search, folding, internal, created_at, has_files, by_mail)
values (@id, @ticket_id, @author_id, @body, to_tsvector('simple', @words::text), @folding, @internal, @created_at, @has_files, @by_mail);

-- name: CommentList :many
select c.id, c.ticket_id, c.author_id, u.name as author_name, c.body, c.internal, c.created_at, c.removed_at, c.has_files, c.by_mail,
       coalesce(m.outcome::text, '')::text as mail_outcome, coalesce(m.reason, '')::text as mail_reason,
       coalesce(m.recipients, '[]')::jsonb as mail_recipients, (m.decided_at is not null)::boolean as mail_decided
from ticket_comments c
join users u on u.id = c.author_id
left join inbound_mails m on c.by_mail and m.comment_id = c.id
where c.ticket_id = @ticket_id
  and (@with_internal::boolean or not c.internal)
  and (c.created_at, c.id) < (@before_created_at::timestamptz, @before_id::uuid)
order by c.created_at desc, c.id desc
limit @most;

-- name: CommentLatest :one
select c.body, u.name as author_name, c.created_at
from ticket_comments c
join users u on u.id = c.author_id
where c.ticket_id = @ticket_id and (@with_internal::boolean or not c.internal) and c.removed_at is null
order by c.created_at desc, c.id desc
limit 1;

-- name: IdempotencyGet :one
select request_hash, object_id, response, created_at from idempotency_keys where user_id = @user_id and key = @key;

-- name: IdempotencyAdd :exec
insert into idempotency_keys (user_id, key, request_hash, object_id, response, created_at)
values (@user_id, @key, @request_hash, @object_id, @response, @created_at);

-- name: IdempotencyPurge :execrows
delete from idempotency_keys k
using (select o.user_id, o.key from idempotency_keys o where o.created_at < @before
       order by o.created_at limit @most for update skip locked) old
where k.user_id = old.user_id and k.key = old.key;

-- name: IdempotencyRedact :exec
-- Removes a comment's text from the answer that is kept for its key, which then says
-- when it was removed.
update idempotency_keys set response = response || jsonb_build_object('body', '', 'removed_at', @removed_at::timestamptz)
where created_at = @created_at and object_id = @object_id;

-- name: IdempotencyForget :exec
delete from idempotency_keys where user_id = @user_id and key = @key and created_at < @before;

-- name: TicketGetMany :many
-- TicketGet for several tickets at once, with their columns in the same order. The
-- lateral query is planned for each of them, so that no table is read whole; the plan is
-- kept, since the select hides how many there are from the planner.
select f.*
from unnest((select @ids::uuid[])) as wanted(id)
cross join lateral (
    select t.id, t.number, t.title, t.description, t.status, t.priority,
           t.reporter_id, r.name as reporter_name, (case when r.erased_at is null then r.email else '' end)::text as reporter_email, t.assignee_id, coalesce(a.name, '')::text as assignee_name,
           t.resolution, t.blocked_reason, t.waiting_for, t.version,
           t.created_at, t.updated_at, t.accepted_at, t.resolved_at, t.closed_at, t.has_files
    from tickets t
    join users r on r.id = t.reporter_id
    left join users a on a.id = t.assignee_id
    where t.id = wanted.id
    offset 0) f;

-- name: TicketWarm :exec
-- Runs once what creating a ticket runs besides its own statement: triggers, checks of
-- foreign keys, indexes. It takes no number, chooses no engineer, and is to be rolled
-- back; without a user it does nothing.
with reporter as (
    select id from users limit 1
),
ticket as (
    insert into tickets (id, number, title, description, reporter_id, waiting_since, created_at, updated_at)
    overriding system value
    select @id::uuid, @number::bigint, 'warm', 'warm', r.id, now(), now(), now() from reporter r
    returning id, reporter_id
),
searchable as (
    insert into ticket_search (ticket_id, search, folding)
    select t.id, setweight(to_tsvector('simple', 'warm'), 'A'), 0 from ticket t
),
event as (
    insert into ticket_events (id, ticket_id, kind, actor_id, created_at)
    select t.id, t.id, 'created', t.reporter_id, now() from ticket t
)
insert into outbox (id, kind, reference, data, created_at)
select t.id, 'ticket_received', t.id, '{}', now() from ticket t;

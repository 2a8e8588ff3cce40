-- name: AssignmentPick :one
-- The engineer who is next: fewest active tickets, longest unassigned among
-- equals. A row that is locked or has changed since the snapshot is passed over;
-- nobody with two tickets more than the least loaded is considered, so that a
-- slow transaction can't make the others run ahead.
with candidates as materialized (
    select e.user_id, e.active_tickets, e.last_assigned_at, min(e.active_tickets) over () as least
    from engineers e
    where e.available and e.user_id <> all (@excluded::uuid[])
)
select u.id, u.name, u.email,
    (select jsonb_agg(jsonb_build_object('id', n.user_id, 'name', nu.name, 'active_tickets', n.active_tickets)
            order by n.active_tickets, n.last_assigned_at, n.user_id)
     from (select * from candidates order by active_tickets, last_assigned_at, user_id limit 10) n
     join users nu on nu.id = n.user_id)::jsonb as candidates
from engineers e
join candidates c on c.user_id = e.user_id and c.active_tickets = e.active_tickets
join users u on u.id = e.user_id
where e.available and c.active_tickets <= c.least + 1
order by c.active_tickets, c.last_assigned_at, c.user_id
limit 1
for no key update of e skip locked;

-- name: AssignmentNext :one
-- Somebody who could be next, locked or not, for a caller to wait for: anyone
-- at most one above the least loaded, so that not all wait for the same.
select c.user_id
from (select e.user_id, e.active_tickets, min(e.active_tickets) over () as least
      from engineers e
      where e.available and e.user_id <> all (@excluded::uuid[])) c
where c.active_tickets <= c.least + 1
order by random()
limit 1;

-- name: EngineerJoin :exec
insert into engineers (user_id) values ($1) on conflict do nothing;

-- name: EngineerLeave :exec
delete from engineers where user_id = $1;

-- name: EngineerLock :one
select user_id, available, active_tickets from engineers where user_id = $1 for no key update;

-- name: EngineerLockAll :exec
-- For what moves many tickets at once: in the order of ids, in which everybody
-- waits for engineers.
select from engineers order by user_id for no key update;

-- name: EngineerGet :one
select user_id, available, active_tickets from engineers where user_id = $1;

-- name: EngineerSetAvailable :execrows
update engineers set available = @available where user_id = @user_id;

-- name: AssignmentTicketsLock :exec
-- Locks the active tickets of one engineer, in the order everybody locks them.
select from tickets t
where t.assignee_id = @engineer_id::uuid and t.status in ('open', 'in_progress', 'blocked')
order by t.id
for no key update;

-- name: AssignmentTicketsFree :many
-- The active tickets of one engineer, for a caller that holds the engineer's lock and must
-- not wait for a ticket: those that somebody else has locked are left out.
select t.id, t.number, t.title, t.description, t.status, t.priority, t.assignee_id, r.name as reporter_name
from tickets t
join users r on r.id = t.reporter_id
where t.assignee_id = @engineer_id::uuid and t.status in ('open', 'in_progress', 'blocked')
order by t.id
for no key update of t skip locked;

-- name: AssignmentTicketsWaiting :many
-- The waiting tickets that somebody who didn't decline them could take.
select t.id, t.number, t.title, t.description, t.status, t.priority, t.assignee_id, r.name as reporter_name
from tickets t
join users r on r.id = t.reporter_id
where t.waiting_since is not null
  and exists (select from engineers e
              where e.available
                and not exists (select from ticket_declines d where d.ticket_id = t.id and d.engineer_id = e.user_id))
order by t.created_at, t.id
limit @most
for no key update of t skip locked;

-- name: AssignmentDecliners :many
select engineer_id from ticket_declines where ticket_id = $1;

-- name: TicketSetAssignee :one
-- A ticket that is offered to somebody else, or to nobody, waits to be accepted
-- again.
update tickets
set assignee_id = sqlc.narg('assignee_id'),
    status      = case when @keep_status::boolean and sqlc.narg('assignee_id')::uuid is not null then status else 'open' end,
    waiting_since = case when @wants_engineer::boolean and sqlc.narg('assignee_id')::uuid is null
                         then coalesce(waiting_since, @now) end,
    version     = version + 1,
    updated_at  = @now
where id = @id
returning status;

-- name: TicketEventAdd :exec
insert into ticket_events (id, ticket_id, kind, actor_id, internal, changes, created_at)
values (@id, @ticket_id, @kind, sqlc.narg('actor_id'), @internal, @changes, @created_at);

-- name: AssignmentPeople :many
select id, name, email, (status = 'approved' and role <> 'customer')::boolean as is_staff from users where id = any (@ids::uuid[]);

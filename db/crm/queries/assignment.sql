-- name: EngineerChoose :one
-- Chooses and locks the engineer who is next (function engineer_next), or null.
select engineer_next(@excluded::uuid[], true, sqlc.narg('former')::uuid)::jsonb as engineer;

-- name: EngineerChooseNone :exec
-- Runs the choice without a candidate, so that its plans are made and nobody is locked.
select engineer_next(array(select user_id from engineers), false);

-- name: EngineerJoin :exec
-- An engineer who returns before all of their tickets were handed over keeps the
-- others.
insert into engineers (user_id) values (@user_id)
on conflict (user_id) do update set leaving = false, available = true, hand_over_by = null where engineers.leaving;

-- name: EngineerLeave :exec
update engineers set leaving = true, available = false, hand_over_by = @decided_by::uuid where user_id = @user_id;

-- name: EngineerDelete :exec
-- Deletes an engineer who has left and has no active ticket.
delete from engineers where user_id = @user_id and leaving and active_tickets = 0;

-- name: EngineerHandOver :execrows
update engineers set available = false, hand_over_by = user_id where user_id = @user_id and not leaving;

-- name: EngineerHandedOver :exec
-- Ends the hand-overs that have no active ticket left; waits for no lock.
with done as materialized (
    select user_id from engineers where hand_over_by is not null and active_tickets = 0 for update skip locked
),
gone as (
    delete from engineers e using done where e.user_id = done.user_id and e.leaving
)
update engineers e set hand_over_by = null from done where e.user_id = done.user_id and not e.leaving;

-- name: EngineerLock :one
-- A user without a row, or one who is leaving, can't be assigned tickets.
select user_id, available, active_tickets, leaving from engineers where user_id = $1 for no key update;

-- name: EngineerGet :one
select user_id, available, active_tickets from engineers where user_id = $1 and not leaving;

-- name: EngineerList :many
-- By name, from a position on.
select e.user_id, u.name, e.available, e.active_tickets
from engineers e
join users u on u.id = e.user_id
where not e.leaving and (u.name, u.id) > (@after_name::text, @after_id::uuid)
order by u.name, u.id
limit @most;

-- name: EngineerSetAvailable :execrows
update engineers
set available = @available, hand_over_by = case when @available then null else hand_over_by end
where user_id = @user_id and not leaving;

-- name: AssignmentHandOverList :many
-- Active tickets that are to be handed over, the most urgent first.
select t.id
from engineers e
join tickets t on t.assignee_id = e.user_id and ticket_is_active(t.status)
where e.hand_over_by is not null and not e.available
order by t.priority desc, t.created_at, t.id
limit @most;

-- name: AssignmentWaitingList :many
-- Waiting tickets for which there is an engineer who neither declined nor reported
-- them, by priority, then age.
select t.id
from tickets t
where t.waiting_since is not null
  and exists (select from engineers e
              where e.available and e.user_id <> t.reporter_id
                and not exists (select from ticket_declines d where d.ticket_id = t.id and d.engineer_id = e.user_id))
order by t.priority desc, t.created_at, t.id
limit @most;

-- name: AssignmentTicketLock :one
-- Locks a ticket that waits or is to be handed over; returns no row when that has
-- changed, or another transaction has locked it.
select t.id, t.number, t.title, t.description, t.status, t.priority, t.updated_at, t.has_files,
       t.reporter_id, r.name as reporter_name,
       t.assignee_id, coalesce(a.name, '')::text as assignee_name, coalesce(a.email, '')::text as assignee_email,
       coalesce(a.status = 'approved' and a.role <> 'customer', false)::boolean as assignee_is_staff,
       coalesce(e.leaving, false)::boolean as leaving,
       d.id as decided_by_id, coalesce(d.name, '')::text as decided_by_name, coalesce(d.email, '')::text as decided_by_email
from tickets t
join users r on r.id = t.reporter_id
left join users a on a.id = t.assignee_id
left join engineers e on e.user_id = t.assignee_id
left join users d on d.id = e.hand_over_by
where t.id = @id and ticket_is_active(t.status)
  and (t.waiting_since is not null or e.hand_over_by is not null and not e.available)
for no key update of t skip locked;

-- name: AssignmentDecliners :many
select engineer_id from ticket_declines where ticket_id = $1;

-- name: TicketSetAssignee :one
-- A ticket with another assignee, or none, must be accepted again.
update tickets
set assignee_id = sqlc.narg('assignee_id'),
    blocked_reason = case when @keep_status::boolean and sqlc.narg('assignee_id')::uuid is not null then blocked_reason end,
    waiting_for = case when @keep_status::boolean and sqlc.narg('assignee_id')::uuid is not null then waiting_for end,
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

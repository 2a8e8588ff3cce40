-- name: EventSequencerLock :exec
-- Admits one sequencer at a time, until the end of the transaction. The lock is
-- released after the transaction's rows are visible, so that positions become
-- visible in their order.
select pg_advisory_xact_lock(hashtextextended('ticket_events.position', 0));

-- name: EventSequence :execrows
-- Assigns the next positions to the oldest events that have none. The caller holds
-- EventSequencerLock.
update ticket_events e
set position = n.position
from (
    select o.id, nextval('ticket_event_positions') as position
    from (select id from ticket_events where position is null order by created_at, id limit @most) o
) n
where e.id = n.id;

-- name: EventOldestWithoutPosition :one
select created_at from ticket_events where position is null order by created_at, id limit 1;

-- name: EventStreamLatest :one
select coalesce(max(position), 0)::bigint as position from ticket_events;

-- name: EventStreamPage :many
-- The events of all tickets behind a position, in order.
select e.position::bigint as position, e.id, e.ticket_id, t.number, t.reporter_id,
       array(select f.user_id from ticket_followers f where f.ticket_id = t.id)::uuid[] as followers, e.kind,
       e.actor_id, coalesce(u.name, '')::text as actor_name, e.internal, e.changes, e.created_at
from ticket_events e
join tickets t on t.id = e.ticket_id
left join users u on u.id = e.actor_id
where e.position > @after::bigint
order by e.position
limit @most;

-- name: EventStreamPageOfCustomer :many
-- The same as EventStreamPage for a customer: the events that they may read of the
-- tickets they reported and, with followed, of those that they follow. The events are selected before they are ordered and cut,
-- since the planner would otherwise read the events of all tickets to fill a page.
with own as materialized (
    select e.position, e.id, e.ticket_id, t.number, t.reporter_id, e.kind,
           e.actor_id, e.internal, e.changes, e.created_at
    from (select id from tickets where reporter_id = @customer_id::uuid
          union select f.ticket_id from ticket_followers f where f.user_id = @customer_id and @followed::boolean) visible
    join tickets t on t.id = visible.id
    join ticket_events e on e.ticket_id = t.id
    where not e.internal
      and e.position > @after::bigint and e.position <= @until::bigint
)
select e.position::bigint as position, e.id, e.ticket_id, e.number, e.reporter_id,
       array(select f.user_id from ticket_followers f where f.ticket_id = e.ticket_id)::uuid[] as followers, e.kind,
       e.actor_id, coalesce(u.name, '')::text as actor_name, e.internal, e.changes, e.created_at
from own e
left join users u on u.id = e.actor_id
order by e.position
limit @most;

-- name: EventStreamPositionOf :one
-- The position of an event; the latest position while it has none, for clients of
-- an earlier release.
select coalesce(e.position, (select max(position) from ticket_events), 0)::bigint as position
from ticket_events e
where e.id = @id;

-- name: EventStreamPositionBefore :one
-- The position for an id of an earlier release, which names a transaction: behind
-- all events of the transactions before it. No row for a transaction that is
-- unknown to this database.
select coalesce((select e.position from ticket_events e
                 where e.transaction_id < @transaction_id::xid8 and e.position is not null
                 order by e.transaction_id desc, e.id desc limit 1), 0)::bigint as position
where @transaction_id::xid8 <= pg_snapshot_xmax(pg_current_snapshot())::xid8;

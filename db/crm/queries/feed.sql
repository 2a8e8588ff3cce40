-- name: FeedHorizon :one
-- Every transaction below it has ended: what it wrote is visible to whoever
-- reads after this, and nothing can be added there any more.
select pg_snapshot_xmin(pg_current_snapshot())::xid8 as horizon;

-- name: FeedPage :many
-- What happened to any ticket between a position and the horizon, in order.
select e.transaction_id, e.id, e.ticket_id, t.number, t.reporter_id, e.kind,
       e.actor_id, coalesce(u.name, '')::text as actor_name, e.internal, e.changes, e.created_at
from ticket_events e
join tickets t on t.id = e.ticket_id
left join users u on u.id = e.actor_id
where (e.transaction_id, e.id) > (@after_transaction::xid8, @after_id::uuid)
  and e.transaction_id < @horizon::xid8
order by e.transaction_id, e.id
limit @most;

-- name: FeedPageOfReporter :many
-- As FeedPage for a customer: what they may know of the tickets they reported.
-- Their events are found before they are ordered and cut: the planner would
-- otherwise walk through everybody's to fill a page.
with own as materialized (
    select e.transaction_id, e.id, e.ticket_id, t.number, t.reporter_id, e.kind,
           e.actor_id, e.internal, e.changes, e.created_at
    from tickets t
    join ticket_events e on e.ticket_id = t.id
    where t.reporter_id = @reporter_id and not e.internal
      and (e.transaction_id, e.id) > (@after_transaction::xid8, @after_id::uuid)
      and e.transaction_id < @horizon::xid8
)
select e.transaction_id, e.id, e.ticket_id, e.number, e.reporter_id, e.kind,
       e.actor_id, coalesce(u.name, '')::text as actor_name, e.internal, e.changes, e.created_at
from own e
left join users u on u.id = e.actor_id
order by e.transaction_id, e.id
limit @most;

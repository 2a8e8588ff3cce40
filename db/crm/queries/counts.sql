-- name: CountsChanges :one
-- How many rows more than groups there are.
select (count(*) - count(distinct (status, priority, assignee_id)))::bigint as changes from ticket_counts;

-- name: CountsFold :execrows
-- Replaces the rows of groups that have several by their sum.
with several as (
    select status, priority, coalesce(assignee_id, '00000000-0000-0000-0000-000000000000') as assignee_id
    from ticket_counts
    group by 1, 2, 3
    having count(*) > 1
), taken as (
    delete from ticket_counts c
    where c.ctid = any(array(
        select f.ctid
        from ticket_counts f
        join several s on s.status = f.status and s.priority = f.priority
            and s.assignee_id = coalesce(f.assignee_id, '00000000-0000-0000-0000-000000000000')
        limit @most::integer
        for update of f skip locked))
    returning c.status, c.priority, c.assignee_id, c.tickets
), folded as (
    insert into ticket_counts (status, priority, assignee_id, tickets)
    select status, priority, assignee_id, sum(tickets) from taken group by 1, 2, 3 having sum(tickets) <> 0
)
select from taken;

-- +goose Up
-- Counts the tickets that were stored before the triggers existed. One statement
-- sees one snapshot: changes that the triggers counted within it are in the count
-- of the rows, too, and are subtracted. It reads every ticket once and locks none.
insert into ticket_counts (status, priority, assignee_id, tickets)
select status, priority, assignee_id, sum(n)
from (select status, priority, assignee_id, count(*) as n from tickets group by 1, 2, 3
      union all
      select status, priority, assignee_id, -sum(tickets) from ticket_counts group by 1, 2, 3) c
group by 1, 2, 3
having sum(n) <> 0;

-- +goose Down
delete from ticket_counts;

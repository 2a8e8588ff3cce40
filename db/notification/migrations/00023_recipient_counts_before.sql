-- +goose Up
-- Counts the recipients that were stored before the triggers existed. One statement
-- sees one snapshot: changes that the triggers counted within it are in the count
-- of the rows, too, and are subtracted. It reads every recipient once and locks
-- none.
insert into recipient_counts (status, recipients)
select coalesce(stored.status, counted.status), coalesce(stored.n, 0) - coalesce(counted.n, 0)
from (select case when lease_token is null then status::text else 'sending' end as status, count(*) as n
      from recipients group by 1) stored
full join (select status, sum(recipients)::bigint as n from recipient_counts group by 1) counted using (status);

-- +goose Down
delete from recipient_counts;

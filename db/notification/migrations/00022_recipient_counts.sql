-- +goose Up

-- The number of recipients with each status, as the sum of rows. Every change adds
-- a row, so that concurrent changes don't wait for each other, and a job sums up
-- the rows of each status. The table has no index, since it is always read whole
-- and kept short.
create table recipient_counts (
    status     text   not null,
    recipients bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- A leased recipient is counted as "sending".
-- +goose StatementBegin
create function recipients_count() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into recipient_counts (status, recipients)
        select case when a.lease_token is null then a.status::text else 'sending' end, count(*)
        from after_change a group by 1;
    elsif tg_op = 'DELETE' then
        insert into recipient_counts (status, recipients)
        select case when b.lease_token is null then b.status::text else 'sending' end, -count(*)
        from before_change b group by 1;
    else
        insert into recipient_counts (status, recipients)
        select c.status, sum(c.n) from (
            select case when b.lease_token is null then b.status::text else 'sending' end as status, -1 as n from before_change b
            union all
            select case when a.lease_token is null then a.status::text else 'sending' end, 1 from after_change a
        ) c group by c.status having sum(c.n) <> 0;
    end if;
    return null;
end $$;
-- +goose StatementEnd

create trigger recipients_count_insert after insert on recipients
    referencing new table as after_change for each statement execute function recipients_count();
create trigger recipients_count_update after update on recipients
    referencing old table as before_change new table as after_change for each statement execute function recipients_count();
create trigger recipients_count_delete after delete on recipients
    referencing old table as before_change for each statement execute function recipients_count();

-- +goose Down
drop trigger recipients_count_insert on recipients;
drop trigger recipients_count_update on recipients;
drop trigger recipients_count_delete on recipients;
drop function recipients_count();
drop table recipient_counts;

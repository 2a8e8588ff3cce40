-- +goose Up

-- The number of tickets of each status, priority and engineer, as the sum of rows.
-- Every change of a ticket adds rows, so that concurrent changes don't wait for each
-- other, and a job sums up the rows of each group. The table has no index, since it
-- is always read whole and kept short.
create table ticket_counts (
    status      ticket_status   not null,
    priority    ticket_priority not null,
    assignee_id uuid,
    tickets     bigint          not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_insert_threshold = -1);

-- +goose StatementBegin
create function tickets_count() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        insert into ticket_counts (status, priority, assignee_id, tickets) values (old.status, old.priority, old.assignee_id, -1);
    end if;
    if tg_op <> 'DELETE' then
        insert into ticket_counts (status, priority, assignee_id, tickets) values (new.status, new.priority, new.assignee_id, 1);
    end if;
    return null;
end $$;
-- +goose StatementEnd

create trigger tickets_count after insert or delete on tickets
    for each row execute function tickets_count();
create trigger tickets_count_change after update of status, priority, assignee_id on tickets
    for each row when ((old.status, old.priority, old.assignee_id) is distinct from (new.status, new.priority, new.assignee_id))
    execute function tickets_count();

-- +goose Down
drop trigger tickets_count_change on tickets;
drop trigger tickets_count on tickets;
drop function tickets_count();
drop table ticket_counts;

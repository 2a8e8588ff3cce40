-- +goose NO TRANSACTION
-- +goose Up

-- Existing events get their positions in the order in which they were streamed, in
-- batches, so that writers never wait. The migration can be repeated.
-- +goose StatementBegin
do $$
declare
    after_transaction xid8 := '0'; after_id uuid := '00000000-0000-0000-0000-000000000000'; last record;
begin
    loop
        with batch as materialized (
            select e.id, e.transaction_id from ticket_events e
            where (e.transaction_id, e.id) > (after_transaction, after_id) and e.position is null
            order by e.transaction_id, e.id
            limit 5000
        ),
        numbered as materialized (
            select b.id, nextval('ticket_event_positions') as position from (select * from batch order by transaction_id, id) b
        ),
        given as (
            update ticket_events e set position = n.position from numbered n where e.id = n.id
        )
        select b.transaction_id, b.id into last from batch b order by b.transaction_id desc, b.id desc limit 1;
        exit when not found;
        after_transaction := last.transaction_id;
        after_id := last.id;
        commit;
    end loop;
end $$;
-- +goose StatementEnd

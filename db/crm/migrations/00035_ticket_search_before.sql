-- +goose NO TRANSACTION
-- +goose Up

-- Copies the search words of existing tickets, in batches. The migration can be
-- repeated.
-- +goose StatementBegin
do $$
declare
    after_id uuid := '00000000-0000-0000-0000-000000000000'; last_id uuid;
begin
    loop
        with batch as materialized (
            select id, search from tickets where id > after_id order by id limit 5000
        ),
        copied as (
            insert into ticket_search (ticket_id, search) select id, search from batch on conflict do nothing
        )
        select id into last_id from batch order by id desc limit 1;
        exit when last_id is null;
        after_id := last_id;
        last_id := null;
        commit;
    end loop;
end $$;
-- +goose StatementEnd

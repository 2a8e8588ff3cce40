-- +goose Up

-- The search words of a ticket, in a separate table, so that a change of status
-- does not update the full-text index. folding is the version of the rules by which
-- the service made the words; rows of older rules are updated in the background.
create table ticket_search (
    ticket_id uuid primary key references tickets on delete cascade,
    search    tsvector not null,
    folding   smallint not null default 0
);
alter table ticket_comments add column folding smallint not null default 0;

-- A binary of the previous release writes tickets.search; this trigger copies it.
-- The next release removes the column and this trigger.
-- +goose StatementBegin
create function tickets_copy_search() returns trigger language plpgsql as $$
begin
    insert into ticket_search (ticket_id, search) values (new.id, new.search)
    on conflict (ticket_id) do update set search = excluded.search, folding = 0;
    return null;
end $$;
-- +goose StatementEnd
create trigger tickets_search after insert or update of search on tickets
    for each row when (new.search <> '') execute function tickets_copy_search();

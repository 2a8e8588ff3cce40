-- +goose Up

-- What the scanner said about a content: off means that it was stored without one.
create type attachment_scan as enum ('off', 'pending', 'clean', 'infected');

-- The content of files, each once. store is where it is kept ("postgres", or the URL of a
-- folder or bucket without secrets), object is its name there. Every content has an
-- object of its own, so that the removal of one never meets another with the same bytes.
create table attachment_contents (
    id         uuid primary key,
    sha256     bytea           not null unique check (length(sha256) = 32),
    size       bigint          not null check (size >= 0),
    media_type text            not null check (length(media_type) between 1 and 255),
    scan       attachment_scan not null,
    scanned_at timestamptz,
    store      text            not null,
    object     uuid            not null,
    created_at timestamptz     not null
);
create index attachment_contents_to_scan on attachment_contents (scanned_at nulls first, id) where scan in ('off', 'pending');
create index attachment_contents_store on attachment_contents (store, id);

-- The objects of the store "postgres", in chunks of 256 KiB. Chunks don't compress well,
-- and are read as a whole.
create table attachment_chunks (
    object uuid    not null,
    n      integer not null,
    data   bytea   not null,
    primary key (object, n)
);
alter table attachment_chunks alter column data set storage external;

-- Objects that are to be removed from their store when they are due: of uploads that
-- did not end, of content that was stored before, without attachments, or moved. The
-- row of an upload exists before its first byte.
create table attachment_removals (
    object uuid primary key,
    store  text        not null,
    due_at timestamptz not null
);
create index attachment_removals_due on attachment_removals (due_at);

-- A file that somebody uploaded: the name that they gave to a content, and the ticket or
-- comment that it belongs to. A file of a comment has the ticket, too.
create table attachments (
    id         uuid primary key,
    content_id uuid        not null references attachment_contents,
    owner_id   uuid        not null references users,
    filename   text        not null check (octet_length(filename) between 1 and 255),
    size       bigint      not null,
    ticket_id  uuid references tickets,
    comment_id uuid references ticket_comments,
    position   smallint    not null default 0,
    created_at timestamptz not null,
    check (comment_id is null or ticket_id is not null)
);
create index attachments_content on attachments (content_id);
create index attachments_owner on attachments (owner_id, created_at, id);
create index attachments_ticket on attachments (ticket_id, position) where ticket_id is not null and comment_id is null;
create index attachments_comment on attachments (comment_id, position) where comment_id is not null;
create index attachments_unattached on attachments (created_at) where ticket_id is null;

-- Whether there is a file at all: saves a query for those without.
alter table tickets add column has_files boolean not null default false;
alter table ticket_comments add column has_files boolean not null default false;

-- Removes attachments, and the contents that have no other. The contents are locked
-- first: of two removals the second one sees what the first did, and an upload of
-- the same bytes waits, then finds the content, or makes a new one.
-- +goose StatementBegin
create function attachments_remove(attachment_ids uuid[], at timestamptz) returns bigint language plpgsql as $$
declare
    content_ids uuid[]; removed bigint;
begin
    select array_agg(c.id) into content_ids from (
        select id from attachment_contents
        where id in (select content_id from attachments where id = any(attachment_ids))
        order by id for update) c;
    delete from attachments where id = any(attachment_ids);
    get diagnostics removed = row_count;
    with unused as (
        delete from attachment_contents c
        where c.id = any(content_ids) and not exists (select from attachments a where a.content_id = c.id)
        returning c.object, c.store
    )
    insert into attachment_removals (object, store, due_at) select object, store, at from unused;
    return removed;
end $$;
-- +goose StatementEnd

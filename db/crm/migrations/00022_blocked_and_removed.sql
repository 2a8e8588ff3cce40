-- +goose Up

-- Why a ticket is blocked and whom it waits for. An older binary neither sets nor
-- clears them: they are valid only while the status is blocked, and null then
-- means 'other'.
create type ticket_waiting_for as enum ('customer', 'other');
alter table tickets
    add column blocked_reason text,
    add column waiting_for ticket_waiting_for,
    add constraint tickets_blocked_reason_length check (length(blocked_reason) between 1 and 1000) not valid;

-- A removed comment keeps its row without its text.
alter table ticket_comments
    add column removed_at timestamptz,
    drop constraint ticket_comments_body_check,
    add constraint ticket_comments_body_length
        check (length(body) between 1 and 20000 or body = '' and removed_at is not null) not valid;

-- Counts one towards a limit in the window of this length that ends now; returns
-- false when the limit is reached. For statements that count and act together.
-- +goose StatementBegin
create function rate_limit_hit(limit_key text, at timestamptz, span interval, most integer) returns boolean language plpgsql as $$
begin
    insert into rate_limits as l (key, hits, expires_at) values (limit_key, array[at], at + span)
    on conflict (key) do update
    set hits = rate_limit_hits_since(l.hits, at - span) || excluded.hits, expires_at = excluded.expires_at
    where cardinality(rate_limit_hits_since(l.hits, at - span)) < most;
    return found;
end $$;
-- +goose StatementEnd

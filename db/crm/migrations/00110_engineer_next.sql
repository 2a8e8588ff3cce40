-- +goose Up

-- Returns the next engineer whose row no other transaction has locked, or null:
-- fewest active tickets, longest unassigned among equals. The row is locked until
-- the end of the transaction. An engineer with two tickets more than the least
-- loaded is not considered, so that loads stay even while a slow transaction locks
-- an engineer. Returns id, name, email, and as candidates the ten next with their
-- loads.
-- +goose StatementBegin
create function engineer_free(excluded uuid[]) returns jsonb language plpgsql as $$
declare
    least integer; ten jsonb; free uuid; chosen jsonb;
begin
    select min(c.active_tickets),
           jsonb_agg(jsonb_build_object('id', c.user_id, 'name', u.name, 'active_tickets', c.active_tickets)
                     order by c.active_tickets, c.last_assigned_at, c.user_id)
    into least, ten
    from (select e.user_id, e.active_tickets, e.last_assigned_at
          from engineers e
          where e.available and e.user_id <> all (excluded)
          order by e.active_tickets, e.last_assigned_at, e.user_id
          limit 10) c
    join users u on u.id = c.user_id;

    -- A row that changed since the candidates were read has another load and is passed.
    with candidates as materialized (
        select e.user_id, e.active_tickets, e.last_assigned_at
        from engineers e
        where e.available and e.user_id <> all (excluded) and e.active_tickets <= least + 1
    )
    select e.user_id into free
    from engineers e
    join candidates c on c.user_id = e.user_id and c.active_tickets = e.active_tickets
    where e.available
    order by c.active_tickets, c.last_assigned_at, c.user_id
    limit 1
    for no key update of e skip locked;
    if not found then
        return null;
    end if;

    select jsonb_build_object('id', u.id, 'name', u.name, 'email', u.email, 'candidates', ten)
    into chosen
    from users u
    where u.id = free;
    return chosen;
end $$;
-- +goose StatementEnd

-- Chooses the engineer for every assignment in place of engineer_choose, which the
-- release before calls. It calls engineer_free; with waits it waits (at most
-- lock_timeout for each) while every candidate is locked, and without it raises FD001
-- then, after which the transaction has to end, since engineer_free keeps the lock of
-- a row that changed meanwhile. Returns null when no available engineer remains
-- outside of excluded. former is the ticket's present engineer, whose load will
-- decrease; that row is locked, too. A transaction waits for engineers in the order of
-- their ids and holds no other lock on engineers meanwhile, so that assignments can't
-- deadlock. Without waits there is no subtransaction, which costs as much as the choice.
-- +goose StatementBegin
create function engineer_next(excluded uuid[], waits boolean, former uuid default null) returns jsonb language plpgsql as $$
declare
    chosen jsonb; likely uuid; pauses boolean := former is not null;
begin
    if not waits then
        chosen := engineer_free(excluded);
        if chosen is null and exists (select from engineers e where e.available and e.user_id <> all (excluded)) then
            raise exception 'every engineer is locked' using errcode = 'FD001';
        end if;
        return chosen;
    end if;
    loop
        if pauses then
            -- A random candidate, so that not all wait for the same one.
            select c.user_id into likely
            from (select e.user_id, e.active_tickets, min(e.active_tickets) over () as least
                  from engineers e
                  where e.available and e.user_id <> all (excluded)) c
            where c.active_tickets <= c.least + 1
            order by random()
            limit 1;
            if not found then
                return null;
            end if;
        end if;
        begin
            if pauses then
                perform from engineers where user_id in (former, likely) order by user_id for no key update;
            end if;
            chosen := engineer_free(excluded);
            if chosen is not null then
                return chosen;
            end if;
            raise exception sqlstate 'FD001';
        exception when sqlstate 'FD001' then
            pauses := true;
        end;
    end loop;
end $$;
-- +goose StatementEnd

-- The same as before without a function of SQL, which is planned anew in each
-- statement.
-- +goose StatementBegin
create or replace function rate_limit_hit(limit_key text, at timestamptz, span interval, most integer) returns boolean language plpgsql as $$
begin
    insert into rate_limits as l (key, hits, expires_at) values (limit_key, array[at], at + span)
    on conflict (key) do update
    set hits = array(select h from unnest(l.hits) h where h > at - span order by h) || excluded.hits, expires_at = excluded.expires_at
    where (select count(*) from unnest(l.hits) h where h > at - span) < most;
    return found;
end $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
create or replace function rate_limit_hit(limit_key text, at timestamptz, span interval, most integer) returns boolean language plpgsql as $$
begin
    insert into rate_limits as l (key, hits, expires_at) values (limit_key, array[at], at + span)
    on conflict (key) do update
    set hits = rate_limit_hits_since(l.hits, at - span) || excluded.hits, expires_at = excluded.expires_at
    where cardinality(rate_limit_hits_since(l.hits, at - span)) < most;
    return found;
end $$;
-- +goose StatementEnd
drop function engineer_next(uuid[], boolean, uuid);
drop function engineer_free(uuid[]);

-- +goose Up

-- The only definition of the active statuses. PostgreSQL inlines it, so that the
-- partial indexes on active tickets are used.
-- +goose StatementBegin
create function ticket_is_active(status ticket_status) returns boolean language sql immutable parallel safe as $$
    select status in ('open', 'in_progress', 'blocked')
$$;
-- +goose StatementEnd

-- An engineer who loses the role or the approval keeps the row, marked leaving,
-- until the backlog job has handed over their active tickets; then it is deleted.
-- hand_over_by is the user who decided the hand-over: while it is set and the
-- engineer is not available, tickets remain to be handed over.
alter table engineers
    add column leaving boolean not null default false,
    add column hand_over_by uuid references users,
    add constraint engineers_leaving_gets_nothing check (not leaving or (not available and hand_over_by is not null));

-- Only this trigger changes an engineer's load, in the transaction of the ticket's
-- change. Increasing it fails for a user who is no approved engineer.
-- +goose StatementBegin
create or replace function tickets_move_load() returns trigger language plpgsql as $$
declare
    before uuid; after uuid;
begin
    if tg_op <> 'INSERT' and ticket_is_active(old.status) then
        before := old.assignee_id;
    end if;
    if tg_op <> 'DELETE' and ticket_is_active(new.status) then
        after := new.assignee_id;
    end if;
    if before is not distinct from after then
        return null;
    end if;
    if before is not null then
        update engineers set active_tickets = active_tickets - 1 where user_id = before;
    end if;
    if after is not null then
        update engineers set active_tickets = active_tickets + 1, last_assigned_at = clock_timestamp()
        where user_id = after and not leaving;
        if not found then
            raise exception 'an active ticket needs an approved engineer'
                using errcode = 'foreign_key_violation', constraint = 'tickets_assignee_is_engineer';
        end if;
    end if;
    return null;
end $$;
-- +goose StatementEnd

-- Returns the next engineer whose row no other transaction has locked, or null:
-- fewest active tickets, longest unassigned among equals. The row is locked until
-- the end of the transaction. An engineer with two tickets more than the least
-- loaded is not considered, so that loads stay even while a slow transaction locks
-- an engineer. Returns id, name, email, and as candidates the ten next with their
-- loads.
-- +goose StatementBegin
create function engineer_pick(excluded uuid[]) returns jsonb language plpgsql as $$
declare
    picked jsonb;
begin
    with candidates as materialized (
        select e.user_id, e.active_tickets, e.last_assigned_at, min(e.active_tickets) over () as least
        from engineers e
        where e.available and e.user_id <> all (excluded)
    )
    select jsonb_build_object('id', u.id, 'name', u.name, 'email', u.email, 'candidates', (
        select jsonb_agg(jsonb_build_object('id', n.user_id, 'name', nu.name, 'active_tickets', n.active_tickets)
                         order by n.active_tickets, n.last_assigned_at, n.user_id)
        from (select * from candidates order by active_tickets, last_assigned_at, user_id limit 10) n
        join users nu on nu.id = n.user_id))
    into picked
    from engineers e
    join candidates c on c.user_id = e.user_id and c.active_tickets = e.active_tickets
    join users u on u.id = e.user_id
    where e.available and c.active_tickets <= c.least + 1
    order by c.active_tickets, c.last_assigned_at, c.user_id
    limit 1
    for no key update of e skip locked;
    return picked;
end $$;
-- +goose StatementEnd

-- Chooses the engineer for every assignment: calls engineer_pick, and waits (at
-- most lock_timeout for each) while every candidate is locked. Returns null when no
-- available engineer remains outside of excluded. former is the ticket's present
-- engineer, whose load will decrease; that row is locked, too. A transaction waits
-- for engineers in the order of their ids and holds no other lock on engineers
-- meanwhile, so that assignments can't deadlock. A failed try is rolled back, since
-- engineer_pick keeps the lock of a row that changed meanwhile.
-- +goose StatementBegin
create function engineer_choose(excluded uuid[], former uuid default null) returns jsonb language plpgsql as $$
declare
    chosen jsonb; likely uuid; waits boolean := former is not null;
begin
    loop
        if waits then
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
            if waits then
                perform from engineers where user_id in (former, likely) order by user_id for no key update;
            end if;
            chosen := engineer_pick(excluded);
            if chosen is not null then
                return chosen;
            end if;
            raise exception sqlstate 'FD001';
        exception when sqlstate 'FD001' then
            waits := true;
        end;
    end loop;
end $$;
-- +goose StatementEnd

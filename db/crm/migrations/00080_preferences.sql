-- +goose Up

-- What a person wants to be mailed about. A person without a row gets every mail
-- at once.
create table preferences (
    user_id     uuid primary key references users,
    refused     text[]      not null default '{}',
    digest      text        not null default 'never' check (digest in ('never', 'hourly', 'daily')),
    digest_hour smallint    not null default 8 check (digest_hour between 0 and 23),
    time_zone   text        not null default 'UTC',
    updated_at  timestamptz not null,
    -- Mails about the security of an account can't be refused.
    constraint preferences_refusable check (refused <@ array[
        'ticket_received', 'ticket_assigned', 'ticket_unassigned', 'ticket_changed', 'ticket_commented', 'registration_waiting'])
);

-- What waits for the next digest of its recipient: the facts of a notice without
-- the texts that people wrote.
create table digest_items (
    id         uuid primary key,
    user_id    uuid        not null references users,
    kind       text        not null,
    reference  uuid        not null,
    data       jsonb       not null,
    created_at timestamptz not null
);
create index digest_items_user on digest_items (user_id, id);

-- Keys of the service, the same for all its replicas.
create table secrets (
    name  text primary key,
    value bytea not null check (length(value) >= 32)
);
insert into secrets (name, value) values
    ('unsubscribe', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Replaces the function of 00010. A notice that its recipient refuses is not
-- written; one for a digest becomes an item of it.
-- +goose StatementBegin
create or replace function outbox_check_recipient() returns trigger language plpgsql as $$
declare
    recipient uuid := (new.data->'to'->>'id')::uuid;
    erased boolean; unverified boolean; refuses boolean; gathers boolean;
begin
    select u.erased_at is not null, u.email_verified_at is null,
           coalesce(new.kind = any(p.refused), false), coalesce(p.digest <> 'never', false)
    into erased, unverified, refuses, gathers
    from users u left join preferences p on p.user_id = u.id
    where u.id = recipient;
    if erased or refuses then
        return null;
    end if;
    if gathers and new.kind in ('ticket_assigned', 'ticket_unassigned', 'ticket_changed', 'ticket_commented') then
        insert into digest_items (id, user_id, kind, reference, data, created_at)
        values (new.id, recipient, new.kind, new.reference,
            (new.data - array['to', 'description', 'why', 'resolution', 'latest_comment', 'body', 'earlier'])
            || case when new.data ? 'changes' then jsonb_build_object('changes', (
                select coalesce(jsonb_agg(case when c->>'field' in ('status', 'priority') then c else jsonb_build_object('field', c->'field') end), '[]')
                from jsonb_array_elements(new.data->'changes') c)) else '{}' end,
            new.created_at);
        return null;
    end if;
    if unverified then
        new.data := jsonb_set(new.data, '{to,unverified}', 'true');
    end if;
    return new;
end $$;
-- +goose StatementEnd

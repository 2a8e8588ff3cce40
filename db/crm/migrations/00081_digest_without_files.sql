-- +goose Up

-- Replaces the function of 00080: names of files are texts that people wrote, too.
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
            (new.data - array['to', 'description', 'why', 'resolution', 'latest_comment', 'body', 'earlier', 'files'])
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

-- +goose Up

-- An account without a password is a customer for whom staff created a ticket, or
-- an invited user. An erased account keeps its row, since other rows refer to it.
alter table users
    alter column password_hash drop not null,
    add column email_verified_at timestamptz,
    add column erased_at timestamptz;

-- An address counts as verified if its user has reset the password by a mailed
-- token, or is an engineer or admin whom an admin approved.
update users u set email_verified_at = now()
where (u.role <> 'customer' and u.status = 'approved')
   or exists (select from audit_events a where a.object_id = u.id and a.kind = 'password_reset');

-- This trigger adds the recipient's state at the time of writing to a notice, so
-- that every attempt posts the same text, for each statement that writes entries.
-- No entry is written for an erased person.
-- +goose StatementBegin
create function outbox_check_recipient() returns trigger language plpgsql as $$
declare
    erased boolean; unverified boolean;
begin
    select u.erased_at is not null, u.email_verified_at is null into erased, unverified
    from users u where u.id = (new.data->'to'->>'id')::uuid;
    if erased then
        return null;
    end if;
    if unverified then
        new.data := jsonb_set(new.data, '{to,unverified}', 'true');
    end if;
    return new;
end $$;
-- +goose StatementEnd
create trigger outbox_recipient before insert on outbox
    for each row when (jsonb_typeof(new.data->'to') = 'object') execute function outbox_check_recipient();

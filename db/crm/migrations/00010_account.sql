-- +goose Up

-- An account without a password is a customer for whom staff raised a ticket,
-- or an invited user. An erased account keeps its row for what refers to it.
alter table users
    alter column password_hash drop not null,
    add column email_verified_at timestamptz,
    add column erased_at timestamptz;

-- Who reset a password by a mailed token has read mail at the address. The
-- address of approved staff was seen by the admin who approved them.
update users u set email_verified_at = now()
where (u.role <> 'customer' and u.status = 'approved')
   or exists (select from audit_events a where a.object_id = u.id and a.kind = 'password_reset');

-- The recipient's state at the moment of writing is part of a notice, so that
-- every attempt posts the same text, whoever wrote the entry and by whatever
-- statement. Nothing is written for a person who was erased.
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

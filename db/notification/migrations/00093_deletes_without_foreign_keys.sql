-- +goose Up
-- Recipients are inserted with their notification, and attempts by the statement that
-- updates their recipient, so that the checks of these two foreign keys find nothing and
-- cost a query for each row. Triggers delete what belongs to a deleted row, for older
-- versions, too. Their plans don't depend on how long the tables were when they were made.

-- +goose StatementBegin
create function notifications_delete_recipients() returns trigger language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    delete from recipients r using deleted d where r.notification_id = d.id;
    return null;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
create function recipients_delete_attempts() returns trigger language plpgsql
    set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    delete from attempts a using deleted d where a.recipient_id = d.id;
    return null;
end $$;
-- +goose StatementEnd

create trigger notifications_delete_recipients after delete on notifications
    referencing old table as deleted for each statement execute function notifications_delete_recipients();
create trigger recipients_delete_attempts after delete on recipients
    referencing old table as deleted for each statement execute function recipients_delete_attempts();

alter table recipients drop constraint recipients_notification_id_fkey;
alter table attempts drop constraint attempts_recipient_id_fkey;

-- +goose Down
alter table recipients add constraint recipients_notification_id_fkey
    foreign key (notification_id) references notifications on delete cascade;
alter table attempts add constraint attempts_recipient_id_fkey
    foreign key (recipient_id) references recipients on delete cascade;
drop trigger recipients_delete_attempts on recipients;
drop trigger notifications_delete_recipients on notifications;
drop function recipients_delete_attempts();
drop function notifications_delete_recipients();

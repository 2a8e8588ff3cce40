-- +goose Up

-- Mails of erased people that the notification service still has, by their id there. A
-- row is removed once that service has deleted the mail.
create table inbound_erasures (
    mail_id uuid        primary key,
    due_at  timestamptz not null
);
create index inbound_erasures_due on inbound_erasures (due_at, mail_id);

-- +goose Down
drop table inbound_erasures;

-- +goose Up

-- How far each mailbox that is read by IMAP has been read. UIDs are good for one
-- UIDVALIDITY (RFC 9051, section 2.3.1.1). backlog are those up to last_uid that are
-- still to be read: the unread mails of a mailbox that was not known before.
create table inbound_mailboxes (
    name         text        primary key,
    uid_validity bigint      not null,
    last_uid     bigint      not null,
    backlog      bigint[]    not null default '{}',
    read_at      timestamptz not null
);

-- +goose Down
drop table inbound_mailboxes;

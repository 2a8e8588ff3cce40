-- +goose Up

-- What became of a mail that came in: a new ticket, a comment, held until somebody
-- decides, refused by them, ignored as automatic, or the same mail once more.
create type inbound_outcome as enum ('ticket', 'comment', 'held', 'refused', 'ignored', 'duplicate');

-- Mails that came in, by their id in the notification service, each with its one effect.
-- fingerprint finds the same mail that came in by several addresses. content is the
-- whole text, without what the notification service keeps of it.
create table inbound_mails (
    id           uuid primary key,
    received_at  timestamptz     not null,
    processed_at timestamptz     not null,
    outcome      inbound_outcome not null,
    reason       text check (length(reason) between 1 and 50),
    fingerprint  bytea check (length(fingerprint) = 32),
    sender_id    uuid references users,
    from_name    text            not null default '',
    from_email   text            not null default '',
    recipients   jsonb           not null default '[]',
    subject      text            not null default '',
    message_id   text            not null default '',
    content      text            not null default '',
    truncated    boolean         not null default false,
    ticket_id    uuid references tickets,
    comment_id   uuid references ticket_comments,
    decided_by   uuid references users,
    decided_at   timestamptz,
    check ((decided_by is null) = (decided_at is null)),
    check (comment_id is null or ticket_id is not null),
    check (outcome not in ('ticket', 'comment') or ticket_id is not null)
);
create unique index inbound_mails_fingerprint on inbound_mails (fingerprint) where fingerprint is not null;
create unique index inbound_mails_comment on inbound_mails (comment_id) where comment_id is not null;
create unique index inbound_mails_ticket on inbound_mails (ticket_id) where outcome = 'ticket';
create index inbound_mails_outcome on inbound_mails (outcome, received_at desc, id desc);
create index inbound_mails_newest on inbound_mails (received_at desc, id desc);
create index inbound_mails_sender on inbound_mails (sender_id) where sender_id is not null;

-- A comment that came by mail has a row in inbound_mails.
alter table ticket_comments add column by_mail boolean not null default false;

-- People who are mailed what the reporter of a ticket is mailed.
create table ticket_followers (
    ticket_id  uuid        not null references tickets,
    user_id    uuid        not null references users,
    added_by   uuid        not null references users,
    created_at timestamptz not null,
    primary key (ticket_id, user_id)
);
create index ticket_followers_user on ticket_followers (user_id);

-- +goose Up

-- Addresses whose mails are to be erased, by their SHA-256, since who asks for it keeps
-- them no longer. Those of recipients stored before before_id are; the search has come to
-- position. A row is removed when no such mail is left.
create table erasures (
    email_hash bytea       primary key check (octet_length(email_hash) = 32),
    before_id  uuid        not null,
    position   uuid        not null default '00000000-0000-0000-0000-000000000000',
    -- whether the search met a mail that is still to be sent
    waiting    boolean     not null default false,
    due_at     timestamptz not null
);

-- +goose Down
drop table erasures;

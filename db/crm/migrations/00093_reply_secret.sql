-- +goose Up

-- The secret of the addresses for answers, where CRM_REPLY_SECRET gives none: the same for
-- all replicas. 244 random bits.
insert into secrets (name, value) values
    ('reply', sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- name: PreferenceGet :one
-- No row: the person has never changed them.
select refused, digest, digest_hour, time_zone from preferences where user_id = $1;

-- name: PreferencePut :exec
insert into preferences (user_id, refused, digest, digest_hour, time_zone, updated_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (user_id) do update
set refused = excluded.refused, digest = excluded.digest, digest_hour = excluded.digest_hour,
    time_zone = excluded.time_zone, updated_at = excluded.updated_at;

-- name: PreferenceRefuse :execrows
-- Adds kinds to those that a person refuses. 0 rows: the person is unknown or
-- erased.
insert into preferences as p (user_id, refused, updated_at)
select u.id, @kinds::text[], @now::timestamptz from users u where u.id = @user_id and u.erased_at is null
on conflict (user_id) do update
set refused = p.refused || array(select k from unnest(excluded.refused) k where k <> all(p.refused)),
    updated_at = excluded.updated_at;

-- name: PreferenceRefuses :one
-- Whether a person refuses all of the kinds.
select coalesce((select p.refused @> @kinds::text[] from preferences p where p.user_id = u.id), false)::boolean as refuses
from users u
where u.id = @user_id and u.erased_at is null;

-- name: SecretGet :one
select value from secrets where name = $1;

-- name: DigestWaiting :many
-- The people for whom something waits, and since when, in the order of their ids.
-- It costs one step of the index for each of them.
with recursive waiting as (
    (select i.user_id from digest_items i where i.user_id > @after order by i.user_id limit 1)
    union all
    select (select i.user_id from digest_items i where i.user_id > w.user_id order by i.user_id limit 1)
    from waiting w where w.user_id is not null
)
select w.user_id::uuid as user_id, i.created_at as since,
       coalesce(p.digest, 'never')::text as digest, coalesce(p.digest_hour, 0)::smallint as digest_hour, coalesce(p.time_zone, 'UTC')::text as time_zone
from waiting w
cross join lateral (select created_at from digest_items d where d.user_id = w.user_id order by d.id limit 1) i
left join preferences p on p.user_id = w.user_id
limit @most;

-- name: DigestTake :many
-- Removes what waits for a person, for the digest that the same transaction
-- writes. Rows that a concurrent transaction takes are skipped.
delete from digest_items
where id in (select d.id from digest_items d where d.user_id = @user_id order by d.id limit @most for update skip locked)
returning id, kind, reference, data;

-- name: DigestTickets :many
-- The tickets that a person may see now, as they are now.
select t.id, t.number, t.title, t.status::text as status
from tickets t
join users u on u.id = @user_id and u.status = 'approved'
where t.id = any(@ids::uuid[]) and (t.reporter_id = u.id or u.role <> 'customer'
    or exists (select from ticket_followers f where f.ticket_id = t.id and f.user_id = u.id));

-- name: DigestRecipient :one
select id, name, email from users where id = $1;

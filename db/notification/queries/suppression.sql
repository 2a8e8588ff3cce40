-- name: SuppressionInsert :execrows
-- The first entry of an address stays.
insert into suppressions (email, id, source, reason, created_at)
values (@email, @id, @source, @reason, @created_at)
on conflict (email) do nothing;

-- name: SuppressionGet :one
select * from suppressions where email = @email;

-- name: SuppressionList :many
select * from suppressions
where id < @before_id and (sqlc.narg(q)::text is null or strpos(email, sqlc.narg(q)::text) > 0)
order by id desc
limit @max::integer;

-- name: SuppressionDelete :execrows
delete from suppressions where email = @email;

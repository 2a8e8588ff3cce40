-- name: ReportTarget :one
-- The recipient that a report is about, locked until the report is applied. A mail
-- that was never given to a server can have no report.
select r.id, r.email, n.message_domain, (r.attempts > 0 or r.lease_token is not null)::boolean as tried
from recipients r
join notifications n on n.id = r.notification_id
where r.id = @id
for update of r;

-- name: ReportInsert :execrows
-- Records a report, unless the recipient has as many as are kept.
insert into delivery_reports (id, recipient_id, kind, received_at, status, code, server, text)
select @id, @recipient_id, @kind, @received_at, sqlc.narg(status), sqlc.narg(code), sqlc.narg(server), @text
where (select count(*) from delivery_reports d where d.recipient_id = @recipient_id) < @most::integer;

-- name: ReportBounce :execrows
-- Ends a recipient whose mail came back. While it is leased the end of the lease ends
-- it. The time at which the server took the mail stays.
update recipients
set status = 'bounced', queue_at = null, last_error = @last_error::text,
    finished_at = case when lease_token is null then coalesce(finished_at, @now::timestamptz) end
where id = @id and status in ('queued', 'delayed', 'sent', 'uncertain');

-- name: ReportList :many
select id, kind, received_at, status, code, server, text
from delivery_reports
where recipient_id = @recipient_id and id < @before_id
order by id desc
limit @max::integer;

-- name: SecretInsert :exec
insert into secrets (name, value) values (@name, @value) on conflict (name) do nothing;

-- name: SecretGet :one
select value from secrets where name = @name;

-- +goose Up

-- The partitions of the audit are made and dropped with the rights of the schema's
-- owner, so that the role of the service needs none to change the schema. Only who is
-- granted them may call the functions; the owner always may.
-- +goose StatementBegin
do $$
declare
    f text;
begin
    foreach f in array array['audit_partitions_prepare(timestamptz)', 'audit_partitions_drop(timestamptz)'] loop
        execute format('alter function %s security definer set search_path = %I, pg_temp', f, current_schema());
        execute format('revoke execute on function %s from public', f);
    end loop;
end $$;
-- +goose StatementEnd

-- +goose Down
alter function audit_partitions_prepare(timestamptz) security invoker reset search_path;
alter function audit_partitions_drop(timestamptz) security invoker reset search_path;
grant execute on function audit_partitions_prepare(timestamptz), audit_partitions_drop(timestamptz) to public;

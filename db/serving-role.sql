-- Splits the rights on one service's database between two roles: its owner, who
-- migrates, and a role with the suffix _serving, which reads and writes rows and can't
-- change the schema. Run it in each database as a superuser or an owner with CREATEROLE,
-- before the first migration or at any time after it; it can be repeated:
--
--   psql -d crm -f db/serving-role.sql -c '\password crm_serving'
--
-- The service gets the serving role in CRM_DATABASE_URL and CRM_MIGRATE=off; "crm
-- migrate" gets the owner in CRM_MIGRATE_DATABASE_URL. For notification alike.
do $$
declare
    owner   text := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
    serving text := owner || '_serving';
    kind    text[];
    setting text[];
begin
    if not exists (select from pg_roles where rolname = serving) then
        execute format('create role %I login', serving);
    end if;
    execute format('grant connect on database %I to %I', current_database(), serving);
    execute format('grant usage on schema public to %I', serving);
    foreach kind slice 1 in array array[['tables', 'select, insert, update, delete'], ['sequences', 'usage, select'], ['functions', 'execute']] loop
        execute format('grant %s on all %s in schema public to %I', kind[2], kind[1], serving);
        -- What later migrations make.
        execute format('alter default privileges for role %I in schema public grant %s on %s to %I', owner, kind[2], kind[1], serving);
    end loop;
    -- What the service sets for its sessions unless a pooler is in front.
    foreach setting slice 1 in array array[['statement_timeout', '5s'], ['lock_timeout', '2s'], ['idle_in_transaction_session_timeout', '10s'],
                                           ['jit', 'off'], ['random_page_cost', '1.1'], ['max_parallel_workers_per_gather', '0']] loop
        execute format('alter role %I in database %I set %s = %L', serving, current_database(), setting[1], setting[2]);
    end loop;
end $$;

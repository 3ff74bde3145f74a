-- What has a name that two applications of one database can both want; of tables, views and functions those of public.
-- Indexes, triggers and constraints say of which table they are.
select 'schema' as kind, nspname::text as name, null as of_table from pg_namespace
where nspname not like 'pg\_%' and nspname not in ('information_schema', 'supabase_migrations')
union all
select case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
  when 'i' then 'index' when 'I' then 'index' when 'c' then 'type' else 'table' end, relname, indrelid::regclass::text
from pg_class left join pg_index on indexrelid = pg_class.oid
where relnamespace = 'public'::regnamespace and relkind <> 't'
union all
select 'trigger', format('%I on public.%I', tgname, relname), relname
from pg_trigger join pg_class on pg_class.oid = tgrelid
where relnamespace = 'public'::regnamespace and not tgisinternal
union all
select 'constraint', format('%I on public.%I', conname, relname), relname
from pg_constraint join pg_class on pg_class.oid = conrelid
where relnamespace = 'public'::regnamespace and contype in ('c', 'f')
union all
select 'type', typname, null from pg_type where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r')
union all
select distinct 'function', proname, null from pg_proc where pronamespace = 'public'::regnamespace
order by 1, 2

-- What has a name that two applications of one database can both want; of tables, views and functions those of public.
select 'schema' as kind, nspname::text as name from pg_namespace
where nspname not like 'pg\_%' and nspname not in ('information_schema', 'supabase_migrations')
union
select case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence' when 'i' then 'index'
  when 'I' then 'index' when 'c' then 'type' else 'table' end, relname
from pg_class where relnamespace = 'public'::regnamespace and relkind <> 't'
union
select 'type', typname from pg_type where typnamespace = 'public'::regnamespace and typtype in ('d', 'e', 'r')
union
select 'function', proname from pg_proc where pronamespace = 'public'::regnamespace
order by 1, 2

-- Everything that SQL can make in a database but the rows of tables, one line a thing, the server's own things left out.
with ours as (
  select oid, nspname from pg_namespace
  where nspname not like 'pg\_%' and nspname not in ('information_schema', 'supabase_migrations')
)
select 'schema' as kind, nspname::text as name, nspacl::text as definition from pg_namespace where oid in (select oid from ours)
union all
select 'function', pg_proc.oid::regprocedure::text, pg_get_functiondef(pg_proc.oid) || coalesce(proacl::text, '')
from pg_proc where pronamespace in (select oid from ours) and prokind = 'f'
union all
select 'table', pg_class.oid::regclass::text,
  concat_ws(' ', relkind, relpersistence, relrowsecurity, reloptions::text, relacl::text)
from pg_class where relnamespace in (select oid from ours)
union all
select 'column', format('%s.%s', attrelid::regclass, attname), concat_ws(' ', format_type(atttypid, atttypmod),
  attnotnull, attgenerated, attidentity, attacl::text, pg_get_expr(adbin, adrelid))
from pg_attribute
join pg_class on pg_class.oid = attrelid
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where relnamespace in (select oid from ours) and attnum > 0 and not attisdropped
union all
select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
from pg_index join pg_class on pg_class.oid = indexrelid where relnamespace in (select oid from ours)
union all
select 'constraint', format('%s.%s', conrelid::regclass, conname), pg_get_constraintdef(oid)
from pg_constraint where connamespace in (select oid from ours)
union all
select 'trigger', format('%s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(pg_trigger.oid) || tgenabled::text
from pg_trigger join pg_class on pg_class.oid = tgrelid where relnamespace in (select oid from ours) and not tgisinternal
union all
select 'type', pg_type.oid::regtype::text, concat_ws(' ', typtype, typacl::text)
from pg_type where typnamespace in (select oid from ours)
union all
select 'policy', format('%s.%s', polrelid::regclass, polname), pg_get_expr(polqual, polrelid) from pg_policy
union all
select 'extension', extname, extversion from pg_extension
union all
select 'comment', pg_describe_object(classoid, objoid, objsubid), description from pg_description
where classoid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_namespace'::regclass, 'pg_type'::regclass)
  and objoid >= 16384
union all
select 'default rights', defaclnamespace::regnamespace::text || defaclobjtype::text, defaclacl::text from pg_default_acl

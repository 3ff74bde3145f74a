-- Takes the pack out of the database. Stops, naming it, when something else is built on it.
do $remove$
declare
  v_pack constant text := :pack;
  v_schema constant text := :schema;
  v_relations constant text[] := :relations;
  v_functions constant text[] := :functions;
  v_jobs constant text[] := :jobs;
  -- On tables of other packs, as "<name> on <table>".
  v_triggers constant text[] := :triggers;
  v_constraints constant text[] := :constraints;
  -- Tables that stay, with what happened.
  v_kept constant text[] := :kept;
  v_dependents text;
  v_thing record;
begin
  for v_thing in
    select 'drop trigger ' || name as dropping from unnest(v_triggers) as name
    union all
    select format('alter table %s drop constraint %s', split_part(name, ' on ', 2), split_part(name, ' on ', 1))
    from unnest(v_constraints) as name
    union all
    select format('drop index public.%I', relname) from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relname = any (v_relations) and relkind in ('i', 'I')
  loop
    execute v_thing.dropping;
  end loop;

  with ours (catalogue, object) as materialized (
    select 'pg_class'::regclass, oid from pg_catalog.pg_class
    where relnamespace = to_regnamespace(v_schema)
      or relnamespace = 'public'::regnamespace and relname = any (v_relations)
    union all
    select 'pg_proc'::regclass, oid from pg_catalog.pg_proc
    where pronamespace = to_regnamespace(v_schema)
      or pronamespace = 'public'::regnamespace and proname = any (v_functions)
    union all
    select 'pg_type'::regclass, oid from pg_catalog.pg_type
    where typnamespace = to_regnamespace(v_schema)
      or typnamespace = 'public'::regnamespace and typname = any (v_relations)
    union all
    select 'pg_namespace'::regclass, oid from pg_catalog.pg_namespace where nspname = v_schema
  ), dependents (catalogue, object) as (
    -- A view hangs on its tables by its rule, a table on another by a constraint, a trigger, a default or a policy.
    select case when relation is null then classid else 'pg_class'::regclass end, coalesce(relation, objid)
    from pg_catalog.pg_depend
    join ours on refclassid = catalogue and refobjid = object
    left join lateral (
      select ev_class as relation from pg_catalog.pg_rewrite where classid = 'pg_rewrite'::regclass and oid = objid
      union all
      select tgrelid from pg_catalog.pg_trigger where classid = 'pg_trigger'::regclass and oid = objid
      union all
      select conrelid from pg_catalog.pg_constraint
      where classid = 'pg_constraint'::regclass and oid = objid and conrelid <> 0
      union all
      select adrelid from pg_catalog.pg_attrdef where classid = 'pg_attrdef'::regclass and oid = objid
      union all
      select polrelid from pg_catalog.pg_policy where classid = 'pg_policy'::regclass and oid = objid
    ) as relations on true
    where deptype = 'n'
  )
  select string_agg(pg_catalog.pg_describe_object(catalogue, object, 0), ', ') into v_dependents
    from (select * from dependents except select * from ours) as foreign_dependents;
  if v_dependents is not null then
    raise exception using errcode = '2BP01',
      message = format('cannot remove the pack %s: these are built on it: %s', v_pack, v_dependents),
      hint = 'drop or change them first';
  end if;

  for v_thing in select name from public.scheduler_jobs where v_pack = 'scheduler' or name = any (v_jobs) loop
    perform scheduler.unregister_job(v_thing.name);
  end loop;
  if v_pack = 'scheduler' then
    perform cron.unschedule(jobid) from cron.job where jobname = any (v_jobs);
  else
    perform set_config('daybook.removed_pack', v_pack, true);
    -- The core's registries say of each row whose it is.
    for v_thing in
      select attrelid::regclass as registry
      from pg_catalog.pg_attribute join pg_catalog.pg_class on pg_class.oid = attrelid
      where attname = 'pack' and relkind = 'r'
        and (relnamespace = 'scheduler'::regnamespace or attrelid = 'public.scheduler_settings'::regclass)
    loop
      execute format('delete from %s where pack = $1', v_thing.registry) using v_pack;
    end loop;
  end if;

  execute format('drop schema if exists %I cascade', v_schema);
  for v_thing in
    select format('drop %s public.%I', case relkind when 'v' then 'view' else 'materialized view' end, relname)
      as dropping
    from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relname = any (v_relations) and relkind in ('v', 'm')
    union all
    select format('drop routine %s', pg_proc.oid::regprocedure) from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and proname = any (v_functions)
    union all
    select 'drop table ' || string_agg(format('public.%I', relname), ', ') from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relname = any (v_relations) and relkind in ('r', 'p')
      and relname <> all (v_kept)
    having count(*) > 0
  loop
    execute v_thing.dropping;
  end loop;
end;
$remove$;

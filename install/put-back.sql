
-- Names back what `install --move-aside` renamed, where the name is free again.
do $back$
declare
  v_suffix constant text := '_before_daybook';
  v_schemas constant text[] := :schemas;
  v_relations constant text[] := :relations;
  v_functions constant text[] := :functions;
  v_jobs constant text[] := :jobs;
  v_tables text[];
  v_waiting text[];
  v_thing record;
begin
  -- Where a table of Daybook's still has the name (the ledger may have stayed), a function that uses the name would
  -- work on that table. It waits with its own table, and so do the functions and the entries of pg_cron that use it.
  select coalesce(array_agg(name order by name), '{}') into v_tables from (
    select left(relname, -length(v_suffix)) as name from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and right(relname, length(v_suffix)) = v_suffix
      and relkind in ('r', 'p', 'f', 'v', 'm')
  ) as aside
  where to_regclass(format('public.%I', name)) is not null and name ~ '^[a-z][a-z0-9_]*$';
  with recursive routines (name, body) as materialized (
    select regexp_replace(proname, v_suffix || '$', ''), prosrc
    from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace
    union all
    select left(nspname, -length(v_suffix)), prosrc
    from pg_catalog.pg_namespace join pg_catalog.pg_proc on pronamespace = pg_namespace.oid
    where right(nspname, length(v_suffix)) = v_suffix
  ), waiting (name) as (
    select unnest(v_tables) collate "C"
    union
    select routines.name from waiting join routines on body ~* ('\m' || waiting.name || '\M')
    where routines.name ~ '^[a-z][a-z0-9_]*$'
  )
  select coalesce(array_agg(name), '{}') into v_waiting from waiting;
  if v_tables <> '{}' then
    raise notice 'these tables keep the name <name>_before_daybook, with the functions that use them: %',
      array_to_string(v_tables, ', ');
  end if;
  for v_thing in
    select format('alter schema %I rename to %I', name || v_suffix, name) as renaming
    from unnest(v_schemas) as name
    where to_regnamespace(quote_ident(name || v_suffix)) is not null and to_regnamespace(quote_ident(name)) is null
      and name <> all (v_waiting)
    union all
    select format('alter routine %s rename to %I', aside.oid::regprocedure, name)
    from pg_catalog.pg_proc as aside
    cross join lateral left(proname, -length(v_suffix)) as name
    where pronamespace = 'public'::regnamespace and right(proname, length(v_suffix)) = v_suffix
      and name = any (v_functions) and name <> all (v_waiting)
      and not exists (
        select from pg_catalog.pg_proc as there
        where there.pronamespace = aside.pronamespace and there.proname = name
          and there.proargtypes = aside.proargtypes)
    union all
    select format('alter type public.%I rename to %I', typname, left(typname, -length(v_suffix)))
    from pg_catalog.pg_type left join pg_catalog.pg_class on pg_class.oid = typrelid
    where typnamespace = 'public'::regnamespace and right(typname, length(v_suffix)) = v_suffix
      and left(typname, -length(v_suffix)) = any (v_relations) and (typtype in ('d', 'e', 'r') or relkind = 'c')
      and to_regtype(format('public.%I', left(typname, -length(v_suffix)))) is null
    union all
    select format('alter table public.%I rename to %I', parts.relname, left(parts.relname, -length(v_suffix)))
    from unnest(v_relations) as name
    join pg_catalog.pg_class as tables
      on tables.relnamespace = 'public'::regnamespace and tables.relname = name || v_suffix and tables.relkind <> 'c'
    join lateral (
      select tables.relname
      union
      select relname from pg_catalog.pg_depend
      left join pg_catalog.pg_constraint on classid = 'pg_constraint'::regclass and pg_constraint.oid = objid
      join pg_catalog.pg_class on pg_class.oid = coalesce(nullif(conindid, 0), objid) and relkind in ('i', 'I', 'S')
      where refclassid = 'pg_class'::regclass and refobjid = tables.oid and deptype in ('a', 'i')
    ) as parts on right(parts.relname, length(v_suffix)) = v_suffix
    where to_regclass(format('public.%I', name)) is null
  loop
    execute v_thing.renaming;
  end loop;
  if to_regclass('cron.job') is not null then
    for v_thing in
      select jobid, cron.schedule(name, schedule, command) as moved_id, jobname = name || v_suffix as was_active
      from cron.job join unnest(v_jobs) as name on jobname in (name || v_suffix, name || v_suffix || '_off')
      where not exists (select from unnest(v_waiting) as word where command ~* ('\m' || word || '\M'))
    loop
      perform cron.alter_job(job_id := v_thing.moved_id, active := v_thing.was_active);
      perform cron.unschedule(v_thing.jobid);
    end loop;
  end if;
end;
$back$;

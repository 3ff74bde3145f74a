-- Renames what has the names that Daybook needs: each to <name>_before_daybook. `deno task uninstall --drop-ledger`
-- names it back; without --drop-ledger what has a name of the ledger stays as it is, with what uses it.
do $aside$
declare
  v_suffix constant text := '_before_daybook';
  v_schemas constant text[] := :schemas;
  v_relations constant text[] := :relations;
  v_functions constant text[] := :functions;
  v_jobs constant text[] := :jobs;
  v_before constant text := :before;
  v_thing record;
begin
  if to_regclass('supabase_migrations.schema_migrations') is not null then
    -- Where the migration of Daybook's that comes next has run, its names are Daybook's.
    if exists (select from supabase_migrations.schema_migrations where version = v_before) then
      raise notice 'nothing is renamed: the migration % has run already', v_before;
      return;
    end if;
  end if;
  for v_thing in
    select format('alter schema %I rename to %I', nspname, nspname || v_suffix) as renaming
    from pg_catalog.pg_namespace where nspname = any (v_schemas)
    union all
    select format('alter routine %s rename to %I', pg_proc.oid::regprocedure, proname || v_suffix)
    from pg_catalog.pg_proc where pronamespace = 'public'::regnamespace and proname = any (v_functions)
    union all
    select format('alter type public.%I rename to %I', typname, typname || v_suffix)
    from pg_catalog.pg_type left join pg_catalog.pg_class on pg_class.oid = typrelid
    where typnamespace = 'public'::regnamespace and typname = any (v_relations)
      and (typtype in ('d', 'e', 'r') or relkind = 'c')
    union all
    -- A table's indexes and sequences have names like its own.
    select format('alter table public.%I rename to %I', parts.relname, parts.relname || v_suffix)
    from pg_catalog.pg_class as tables
    join pg_catalog.pg_depend on refclassid = 'pg_class'::regclass and refobjid = tables.oid and deptype in ('a', 'i')
    left join pg_catalog.pg_constraint on classid = 'pg_constraint'::regclass and pg_constraint.oid = objid
    join pg_catalog.pg_class as parts
      on parts.oid = coalesce(nullif(conindid, 0), objid) and parts.relkind in ('i', 'I', 'S')
    where tables.relnamespace = 'public'::regnamespace and tables.relname = any (v_relations)
      and length(parts.relname || v_suffix) < 64
    union
    select format('alter table public.%I rename to %I', relname, relname || v_suffix)
    from pg_catalog.pg_class
    where relnamespace = 'public'::regnamespace and relname = any (v_relations) and relkind not in ('c', 't')
  loop
    execute v_thing.renaming;
  end loop;
  if to_regclass('cron.job') is not null then
    -- pg_cron cannot rename: what it did is made again, and stands still. The name says what stood still before.
    for v_thing in
      select jobid,
        cron.schedule(jobname || v_suffix || case when active then '' else '_off' end, schedule, command) as moved_id
      from cron.job where jobname = any (v_jobs)
    loop
      perform cron.alter_job(job_id := v_thing.moved_id, active := false);
      perform cron.unschedule(v_thing.jobid);
    end loop;
  end if;
end;
$aside$;

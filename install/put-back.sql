
-- Names back what `install --move-aside` renamed, where the name is free again.
do $back$
declare
  v_suffix constant text := '_before_daybook';
  v_schemas constant text[] := :schemas;
  v_relations constant text[] := :relations;
  v_functions constant text[] := :functions;
  v_jobs constant text[] := :jobs;
  v_thing record;
begin
  for v_thing in
    select format('alter schema %I rename to %I', name || v_suffix, name) as renaming
    from unnest(v_schemas) as name where to_regnamespace(quote_ident(name || v_suffix)) is not null
    union all
    select format('alter routine %s rename to %I', pg_proc.oid::regprocedure, left(proname, -length(v_suffix)))
    from pg_catalog.pg_proc
    where pronamespace = 'public'::regnamespace and right(proname, length(v_suffix)) = v_suffix
      and left(proname, -length(v_suffix)) = any (v_functions)
    union all
    select format('alter type public.%I rename to %I', typname, left(typname, -length(v_suffix)))
    from pg_catalog.pg_type left join pg_catalog.pg_class on pg_class.oid = typrelid
    where typnamespace = 'public'::regnamespace and right(typname, length(v_suffix)) = v_suffix
      and left(typname, -length(v_suffix)) = any (v_relations) and (typtype in ('d', 'e', 'r') or relkind = 'c')
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
    -- The ledger may have stayed.
    where to_regclass(format('public.%I', name)) is null
  loop
    execute v_thing.renaming;
  end loop;
  if to_regclass('cron.job') is not null then
    for v_thing in
      select jobid, cron.schedule(name, schedule, command) as moved_id, jobname = name || v_suffix as was_active
      from cron.job join unnest(v_jobs) as name on jobname in (name || v_suffix, name || v_suffix || '_off')
    loop
      perform cron.alter_job(job_id := v_thing.moved_id, active := v_thing.was_active);
      perform cron.unschedule(v_thing.jobid);
    end loop;
  end if;
end;
$back$;

-- Takes the pack's jobs, with their entries in pg_cron, and its rows out of the core's registries.
do $forget$
declare
  v_pack constant text := :pack;
  v_jobs constant text[] := :jobs;
  v_name text;
begin
  -- Looked up by its name: an earlier version has no such table.
  if v_pack = 'scheduler' and to_regclass('scheduler.adopted_entries') is not null then
    execute 'select string_agg(distinct job_name, '', '') from scheduler.adopted_entries' into v_name;
    if v_name is not null then
      raise exception using errcode = '2BP01',
        message = format('cannot remove the pack scheduler: entries of pg_cron would be lost, in whose place are: %s',
          v_name),
        hint = 'select scheduler.undo_adoption() puts them back, '
          'select scheduler.forget_adopted_entries() gives them up';
    end if;
  end if;
  -- One by one, those that no other job depends on first.
  loop
    select name into v_name from public.scheduler_jobs where v_pack = 'scheduler' or name = any (v_jobs)
      order by cardinality(dependents), name limit 1;
    exit when not found;
    perform scheduler.unregister_job(v_name);
  end loop;
  if v_pack = 'scheduler' then
    perform cron.unschedule(jobid) from cron.job where jobname = any (v_jobs);
    return;
  end if;
  perform set_config('daybook.removed_pack', v_pack, true);
  -- The core's registries say of each row whose it is.
  for v_name in
    select attrelid::regclass from pg_catalog.pg_attribute join pg_catalog.pg_class on pg_class.oid = attrelid
    where attname = 'pack' and relkind = 'r'
      and (relnamespace = 'scheduler'::regnamespace or attrelid = 'public.scheduler_settings'::regclass)
  loop
    execute format('delete from %s where pack = $1', v_name) using v_pack;
  end loop;
end;
$forget$;

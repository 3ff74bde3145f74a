-- Keeps pg_cron's entries as the registry says, when they were removed, switched off or changed.

create function scheduler.mend_cron_entries() returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_mended integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  for v_name in
    select jobs.name
    from public.scheduler_jobs as jobs
    left join cron.job as entries on entries.jobname = jobs.name and entries.username = current_user
    where jobs.enabled and jobs.schedule is not null
      and (entries.jobid is null or not entries.active or entries.schedule <> jobs.cron_entry)
      and coalesce(entries.command = format('select scheduler.dispatch(%L)', jobs.name), true)
  loop
    begin
      perform scheduler.sync_cron_entry(v_name);
      v_mended := v_mended + 1;
    exception when query_canceled or others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
    end;
  end loop;
  return jsonb_build_object('mended', v_mended, 'errors', v_errors);
end;
$$;
comment on function scheduler.mend_cron_entries() is
  'Puts back pg_cron entries that were removed, switched off or changed; the registry is the truth. {"mended": '
    'entries, "errors": {job: message}}.';

-- Each beat is a transaction of its own, so that no job is held longer than its own step needs. A procedure could
-- commit as well, but not one with a search_path of its own.
create function scheduler.pulse_command() returns text
language sql immutable set search_path = '' as $$
  select 'do $beat$ begin while scheduler.beat() loop commit; end loop; end $beat$';
$$;
comment on function scheduler.pulse_command() is 'What pg_cron executes for the pulse.';

-- pg_cron has seconds from version 1.5 on. It is asked, because a version says little about a build.
create function scheduler.sync_pulse_entry() returns text
language plpgsql set search_path = '' as $$
declare
  v_name constant text := 'scheduler-pulse';
  v_command constant text := scheduler.pulse_command();
  v_entry record;
begin
  select jobid, schedule, command, active into v_entry from cron.job where jobname = v_name and username = current_user;
  if v_entry.command not in (v_command, 'select scheduler.pulse()') then
    raise exception using errcode = '42710',
      message = format('cannot schedule the pulse: pg_cron has an entry named %s which is not Daybook''s', v_name),
      detail = format('its command is: %s', left(v_entry.command, 60)),
      hint = format('take it out first: select cron.unschedule(%L)', v_name);
  end if;
  if v_entry.command is distinct from v_command or v_entry.schedule is distinct from '10 seconds' then
    begin
      v_entry.jobid := cron.schedule(v_name, '10 seconds', v_command);
    exception when others then
      if v_entry.command is distinct from v_command or v_entry.schedule <> '* * * * *' then
        v_entry.jobid := cron.schedule(v_name, '* * * * *', v_command);
      end if;
    end;
  end if;
  -- cron.schedule leaves an entry inactive that was inactive before.
  if not (select active from cron.job where jobid = v_entry.jobid) then
    perform cron.alter_job(job_id := v_entry.jobid, active := true);
  end if;
  return (select schedule from cron.job where jobid = v_entry.jobid);
end;
$$;
comment on function scheduler.sync_pulse_entry() is
  'Puts the pulse into pg_cron: every 10 seconds where it has seconds, else every minute. Changes nothing that is '
    'right; returns the schedule. Raises 42710 when the name belongs to somebody else''s entry.';

create function scheduler.require_seconds(p_job public.scheduler_jobs) returns void
language plpgsql set search_path = '' as $$
begin
  if scheduler.entry_needs_seconds(p_job.cron_entry)
    and scheduler.entry_needs_seconds(scheduler.sync_pulse_entry()) is not true then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: the schedule %L needs a pg_cron that has seconds, and this one has '
        'none', p_job.name, p_job.schedule),
      hint = 'pg_cron has them from 1.5 on; without them an interval must be whole minutes, such as 60 or 120 seconds';
  end if;
end;
$$;
comment on function scheduler.require_seconds(public.scheduler_jobs) is
  'Raises 22023 for a job whose entry needs seconds where this pg_cron has none.';

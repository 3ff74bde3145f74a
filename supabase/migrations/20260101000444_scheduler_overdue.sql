-- What was left lying: occurrences nobody dispatched, retries whose time has come, pg_cron's entries.

create or replace function scheduler.send_all_queued(p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_name text;
  v_job public.scheduler_jobs;
  v_sent integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  for v_name in
    select distinct job_name from public.scheduler_runs
    where status = 'queued' and (run_after is null or run_after <= p_now)
    order by job_name
    limit 1000
  loop
    continue when not scheduler.try_lock_job(v_name);
    select * into v_job from public.scheduler_jobs where name = v_name;
    begin
      if v_job.enabled then
        v_sent := v_sent + scheduler.send_queued(v_job, p_now);
      else
        perform scheduler.end_run(id, array['queued'], 'cancelled', 'cancelled', p_now,
          p_error_message => 'the job was disabled or taken out of the registry while this run waited', p_send_next => false)
        from public.scheduler_runs where job_name = v_name and status = 'queued';
      end if;
    exception when others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
      raise warning 'cannot send what waits of the job %: %', v_name, sqlerrm;
    end;
  end loop;
  return jsonb_build_object('sent', v_sent, 'errors', v_errors);
end;
$$;
comment on function scheduler.send_all_queued(timestamptz) is
  'Sends retries and waiting runs whose time has come; cancels those whose job is gone or disabled. {"sent": runs, "errors": {job: message}}.';

create or replace function scheduler.settle_overdue(p_now timestamptz) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_job public.scheduler_jobs;
  v_settled integer := 0;
  v_errors jsonb := jsonb_build_object();
begin
  -- A minute's patience: pg_cron's own entry comes first.
  for v_job in
    select * from public.scheduler_jobs
    where enabled and next_run_at <= p_now - interval '1 minute'
    order by next_run_at
    for no key update skip locked
  loop
    begin
      perform scheduler.settle(v_job, p_now - interval '1 minute', p_now);
      v_settled := v_settled + 1;
    exception when others then
      -- One job that cannot be settled (its zone was dropped, say) must not stop the pulse for all others.
      v_errors := v_errors || jsonb_build_object(v_job.name, sqlerrm);
      raise warning 'cannot settle the job %: %', v_job.name, sqlerrm;
    end;
  end loop;
  return jsonb_build_object('settled', v_settled, 'errors', v_errors);
end;
$$;
comment on function scheduler.settle_overdue(timestamptz) is
  'Gives occurrences that nobody dispatched their rows, by the misfire policy. {"settled": jobs, "errors": {job: message}}; a job with an error keeps its cursor and is tried again.';

create or replace function scheduler.mend_cron_entries() returns jsonb
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
    exception when others then
      v_errors := v_errors || jsonb_build_object(v_name, sqlerrm);
    end;
  end loop;
  return jsonb_build_object('mended', v_mended, 'errors', v_errors);
end;
$$;
comment on function scheduler.mend_cron_entries() is
  'Puts back pg_cron entries that were removed, switched off or changed; the registry is the truth. {"mended": entries, "errors": {job: message}}.';

revoke all on function scheduler.send_all_queued(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.settle_overdue(timestamptz) from public, anon, authenticated, service_role;
revoke all on function scheduler.mend_cron_entries() from public, anon, authenticated, service_role;

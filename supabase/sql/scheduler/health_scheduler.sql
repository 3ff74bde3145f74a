-- What the health check sees of the scheduler.

create function scheduler.stuck_runs(out runs bigint, out oldest text)
language sql stable set search_path = '' as $$
  with held as (
    select name from public.scheduler_jobs as jobs
    where scheduler.limit_in_force(jobs) <= (
      select count(*) from public.scheduler_runs where job_name = name and status in ('dispatched', 'running'))
    union
    select job_name from public.scheduler_runs
    where status = 'queued' and scheduler.is_put_off(waiting, now())
  )
  select count(*), (array_agg(job_name order by created_at))[1]
  from public.scheduler_runs
  where status in ('queued', 'dispatched', 'running')
    and case status
      when 'running' then coalesce(heartbeat_at, started_at, created_at)
      when 'dispatched' then coalesce(dispatched_at, created_at) + make_interval(secs => timeout_seconds)
      else greatest(run_after, created_at) + make_interval(secs => timeout_seconds)
    end < now() - interval '5 minutes'
    -- A run that waits for one of its job's many to end, or is put off, is not stuck.
    and not (status = 'queued' and job_name in (select name from held));
$$;
comment on function scheduler.stuck_runs() is
  'Runs that pulse should have ended or sent five minutes ago and did not: how many, and the job of the oldest.';

create function scheduler.scheduler_health() returns jsonb
language sql stable set search_path = '' as $$
  with jobs as (
    select jobs.*, scheduler.stop_now(jobs, now()) is not null as paused
    from public.scheduler_jobs as jobs
    where jobs.enabled
  ), registry as (
    select count(*) as jobs, min(created_at) as first_registered,
      count(*) filter (where paused) as paused,
      min(next_run_at) filter (where not paused and next_run_at <= now()) as overdue_since,
      (array_agg(name order by next_run_at, name) filter (where not paused and next_run_at <= now()))[1] as most_behind
    from jobs
  ), ended as (
    select count(*) filter (where status = 'completed') as completed,
      count(*) filter (where verdict = 'lost') as lost,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed,
      -- An attempt that failed and was tried again is not a failure yet, or was none.
      count(*) filter (where status = 'failed' and not exists (
        select from public.scheduler_runs as later
        where later.job_name = runs.job_name and later.scheduled_for = runs.scheduled_for
          and later.attempt > runs.attempt and later.trigger <> 'manual'
      )) as failed
    from public.scheduler_runs as runs
    where status in ('completed', 'failed', 'missed') and completed_at > now() - interval '24 hours'
  )
  select jsonb_build_object(
    'watched', registry.jobs,
    'figures', jsonb_build_object(
      -- A scheduler that was installed a moment ago has not beaten yet.
      'pulse_age_seconds', case when registry.jobs > 0 then scheduler.seconds_since(
        greatest(pulse_state.last_pulse_at, registry.first_registered)) end,
      'seconds_behind', coalesce(scheduler.seconds_since(registry.overdue_since), 0),
      'failed_percent', scheduler.percent(ended.failed, ended.completed + ended.failed, 5),
      'lost_runs', ended.lost,
      'missed_runs', ended.missed,
      'stuck_runs', stuck.runs,
      'paused_jobs', registry.paused,
      'undelivered_alerts', scheduler.undelivered_alerts(now())
    ),
    'details', jsonb_strip_nulls(jsonb_build_object(
      'completed_runs', ended.completed,
      'failed_runs', ended.failed,
      'most_behind', registry.most_behind,
      'oldest_stuck', stuck.oldest
    )),
    'notes', '[]'::jsonb
  )
  from registry cross join ended cross join scheduler.stuck_runs() as stuck left join scheduler.pulse_state on true;
$$;
comment on function scheduler.scheduler_health() is
  'Figures of the scheduler: its pulse, how far behind it is, and what came of the runs of the last 24 hours.';

insert into scheduler.health_components (component, pack, label, weight, function_name) values
  ('scheduler', 'scheduler', 'Scheduler', 18, 'scheduler.scheduler_health');
insert into scheduler.health_figures (component, figure, label, unit, worse, degraded, critical, culprit) values
  ('scheduler', 'pulse_age_seconds', 'last pulse', 'seconds', 'higher', 180, 600, null),
  ('scheduler', 'failed_percent', 'failed in 24 h', 'percent', 'higher', 1, 20, null),
  ('scheduler', 'seconds_behind', 'behind schedule', 'seconds', 'higher', 180, 900, 'most_behind'),
  ('scheduler', 'lost_runs', 'lost in 24 h', 'count', 'higher', 1, 10, null),
  ('scheduler', 'missed_runs', 'missed in 24 h', 'count', 'higher', 1, 25, null),
  ('scheduler', 'stuck_runs', 'stuck runs', 'count', 'higher', 1, 5, 'oldest_stuck'),
  ('scheduler', 'paused_jobs', 'paused jobs', 'count', 'higher', 1, null, null),
  ('scheduler', 'undelivered_alerts', 'undelivered alerts', 'count', 'higher', 1, 10, null);

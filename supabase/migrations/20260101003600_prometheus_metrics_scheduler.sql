-- What a scrape reads, as one value: counters and sums that somebody else has kept, never a count of a growing table.
-- Every part is stable, so all of them see the same moment. It is json, not jsonb: it is only ever sent, and text is put
-- together in a third of the time.

-- The scheduler's own. A row a job, as an array: a thousand of them are sent every few seconds.
create or replace function scheduler.job_metrics(p_now timestamptz) returns json
language sql stable set search_path = '' as $$
  with jobs as (
    select counters.*, jobs.enabled, jobs.created_at, jobs.next_run_at, pause.paused
    from public.scheduler_jobs as jobs
    join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (select jobs.enabled and scheduler.is_paused(jobs, p_now) as paused offset 0) as pause
  )
  select json_build_object(
    'duration_bounds_ms', scheduler.duration_bounds_ms(),
    'fire_lag_bounds_ms', scheduler.fire_lag_bounds_ms(),
    'locks_open', (select count(*) from public.scheduler_locks),
    -- A scheduler that was installed a moment ago has not beaten yet.
    'pulse_age_seconds', round(extract(epoch from greatest(p_now - coalesce(
      greatest((select last_pulse_at from scheduler.pulse_state), min(jobs.created_at)), p_now), interval '0')), 3),
    'pulse_errors', coalesce((
      select count(*) from scheduler.pulse_state, lateral jsonb_object_keys(errors)), 0),
    'jobs', coalesce(json_agg(json_build_array(
      job_name, enabled, paused,
      case when enabled and not paused and next_run_at < p_now
        then round(extract(epoch from p_now - next_run_at), 3) else 0 end,
      round(extract(epoch from greatest(p_now - last_success_at, interval '0')), 3),
      completed, failed, skipped, missed, cancelled, lost, retries, failed_in_row, missed_in_row,
      left_out, duration_counts, duration_sum_ms, fire_lag_counts, fire_lag_sum_ms
    ) order by job_name), '[]')
  )
  from jobs;
$$;
comment on function scheduler.job_metrics(timestamptz) is
  'Figures of the scheduler: {"duration_bounds_ms", "fire_lag_bounds_ms", "locks_open", "pulse_age_seconds", "pulse_errors", "jobs"}; a job is [name, enabled, paused, overdue seconds, seconds since the last success or null, completed, failed, skipped, missed, cancelled, lost, retries, failed in a row, missed in a row, {kind of skip reason: count}, duration counts, their sum in ms, fire lag counts, their sum in ms].';

revoke all on function scheduler.job_metrics(timestamptz) from public, anon, authenticated, service_role;

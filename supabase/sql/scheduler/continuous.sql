-- Continuous jobs: always exactly one run under way.

create function scheduler.failure_wait(p_job public.scheduler_jobs, p_failures integer, p_random double precision)
returns interval
language sql immutable set search_path = '' as $$
  -- Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"). A job that has
  -- failed for years must not raise 2 to a power that no number holds.
  select make_interval(secs => greatest(1, p_random * least(
    p_job.backoff_cap_seconds, p_job.backoff_base_seconds * 2::numeric ^ least(p_failures - 1, 30))));
$$;
comment on function scheduler.failure_wait(public.scheduler_jobs, integer, double precision) is
  'How long after that failure in a row the next attempt waits, by a random number from 0 to 1: at least a second.';

create function scheduler.continuous_run(
  p_job public.scheduler_jobs, p_last public.scheduler_runs, p_now timestamptz
) returns public.scheduler_runs
language plpgsql set search_path = '' as $$
declare
  -- Each run has a name of its own, also where two begin within a microsecond or the clock goes back.
  v_run public.scheduler_runs := scheduler.new_run(p_job, 'continuous',
    greatest(p_now, p_last.scheduled_for + interval '1 microsecond'));
  -- Not later than now, also where the clock went back.
  v_ended_at constant timestamptz := least(p_last.completed_at, p_now);
begin
  v_run.max_attempts := 1;
  v_run.interval_from := p_last.scheduled_for;
  if p_last.status = 'failed' then
    v_run.failures := least(p_last.failures + 1, 1000000);
    v_run.run_after := v_ended_at + scheduler.failure_wait(p_job, v_run.failures, random());
  elsif p_last.result -> 'idle' = 'true' and p_last.status = 'completed' then
    v_run.run_after := v_ended_at + make_interval(secs => p_job.idle_seconds);
  end if;
  -- It has waited for long enough where the job was stopped meanwhile.
  if v_run.run_after <= p_now then
    v_run.run_after := null;
  elsif v_run.run_after is not null then
    v_run.waiting := scheduler.wait_facts(case p_last.status when 'failed' then 'retry' else 'idle' end, null, p_now,
      v_run.run_after);
  end if;
  return v_run;
end;
$$;
comment on function scheduler.continuous_run(public.scheduler_jobs, public.scheduler_runs, timestamptz) is
  'The run that follows p_last: at once; the idle time after its end when it said it was idle; a growing wait after '
    'its end when it failed. Writes nothing: see add_runs.';

create function scheduler.keep_going(p_job public.scheduler_jobs, p_now timestamptz) returns void
language plpgsql set search_path = '' as $$
declare
  v_last public.scheduler_runs;
begin
  if not p_job.continuous or not p_job.enabled or scheduler.stop_now(p_job, p_now) is not null
    or exists (select from public.scheduler_runs
      where job_name = p_job.name and status in ('queued', 'dispatched', 'running')) then
    return;
  end if;
  select * into v_last from public.scheduler_runs
    where job_name = p_job.name and trigger = 'continuous' order by scheduled_for desc limit 1;
  perform scheduler.add_runs(array[scheduler.continuous_run(p_job, v_last, p_now)]);
end;
$$;
comment on function scheduler.keep_going(public.scheduler_jobs, timestamptz) is
  'Gives a continuous job its next run when it has none that waits or is under way, unless it is stopped or disabled. '
    'The caller holds the job''s row lock, and sends what waits.';

-- In which state each job is, of what is known of it at a moment.

create function scheduler.job_state(
  p_enabled boolean, p_stop text, p_breaker text, p_unrecorded_seconds numeric, p_unsuccessful bigint,
  p_unbegun_seconds numeric, p_waits_for text
) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when not p_enabled then 'disabled'
    when p_stop is not null then 'paused'
    when p_breaker <> 'closed' then 'breaker_open'
    -- Where pg_cron has no seconds the pulse beats each minute: up to that is normal.
    when p_unrecorded_seconds > 60 then 'overdue'
    when p_unsuccessful > 0 then 'failing'
    when p_unbegun_seconds > 60 then 'late'
    -- These are no waits for something to happen: the job was registered so.
    when p_waits_for not in ('jitter', 'idle') then 'waiting'
    else 'healthy' end;
end;
$$;
comment on function scheduler.job_state(boolean, text, text, numeric, bigint, numeric, text) is
  'The state of a job, the first that holds of: disabled, paused (something stops it), breaker_open (or half-open), '
    'overdue (an occurrence has been due for over a minute and has no row), failing (occurrences since the last '
    'completed run failed or were missed), late (a run could have begun over a minute ago), waiting, healthy.';

create function scheduler.is_stalled(p_enabled boolean, p_stop text, p_due_without_success bigint) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_enabled and p_stop is null and coalesce(p_due_without_success >= 2, false);
end;
$$;
comment on function scheduler.is_stalled(boolean, text, bigint) is
  'Whether two occurrences in a row are due without a completed run. What is disabled or stopped has none that is due.';

create function scheduler.is_due_again(
  p_schedule text, p_time_zone text, p_first timestamptz, p_now timestamptz
) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(scheduler.next_occurrence(p_schedule, p_time_zone, p_first) <= p_now, false);
exception when invalid_parameter_value then
  -- A schedule or a zone that cannot be read must not hide the other jobs: the first occurrence is due, that is known.
  return false;
end;
$$;
comment on function scheduler.is_due_again(text, text, timestamptz, timestamptz) is
  'Whether after p_first a second occurrence of the schedule is due at p_now.';

create function scheduler.unrecorded_occurrences(p_names text[], p_now timestamptz)
returns table (job_name text, occurrences integer)
language sql stable set search_path = '' as $$
  -- Working out a second one takes longer than all the rest: only where the first has been due for a while, and once
  -- for all jobs that have it in common.
  with due as (
    select name, schedule, time_zone, next_run_at, next_run_at <= p_now - interval '1 minute' as is_overdue
    from public.scheduler_jobs where name = any (p_names) and enabled and next_run_at <= p_now
  ), again as materialized (
    select schedule, time_zone, next_run_at, scheduler.is_due_again(schedule, time_zone, next_run_at, p_now) as is_due
    from (select distinct schedule, time_zone, next_run_at from due where is_overdue) as overdue
  )
  select name, case when is_due then 2 else 1 end
  from due left join again using (schedule, time_zone, next_run_at);
$$;
comment on function scheduler.unrecorded_occurrences(text[], timestamptz) is
  'How many occurrences are due and have no row yet, of those of these jobs that have any; 2 stands for two and more.';

create function scheduler.unfinished_runs(p_names text[], p_now timestamptz)
returns table (job_name text, open_occurrences bigint, unbegun_seconds numeric, waits_for text)
language sql stable set search_path = '' as $$
  select runs.job_name,
    count(distinct runs.scheduled_for) filter (where not jobs.continuous
      and runs.scheduled_for > coalesce(counters.unsuccessful_for, '-infinity')
      and not scheduler.is_backfill(runs) and scheduler.is_of_occurrence(runs)),
    max(extract(epoch from p_now - case
      when runs.status = 'dispatched' then runs.dispatched_at
      when runs.status = 'queued' and runs.waiting is null and runs.run_after is null
        then greatest(runs.created_at, runs.scheduled_for) end)),
    (array_agg(runs.waiting ->> 'for' order by runs.scheduled_for) filter (where runs.status = 'queued'
      and runs.waiting is not null and not scheduler.is_backfill(runs)))[1]
  from public.scheduler_runs as runs
    join public.scheduler_jobs as jobs on jobs.name = runs.job_name
    left join scheduler.run_counters as counters on counters.job_name = runs.job_name
  where runs.job_name = any (p_names) and runs.status in ('queued', 'dispatched', 'running')
  group by runs.job_name;
$$;
comment on function scheduler.unfinished_runs(text[], timestamptz) is
  'Of each of these jobs that has runs which are not over: how many occurrences they are of that no counter has '
    'yet, for how long one of them could have begun, and what the oldest waits for.';

create type scheduler.job_condition as (
  name text, state text, stalled boolean, stop text, breaker text, unsuccessful bigint, due_without_success bigint,
  waits_for text
);
comment on type scheduler.job_condition is
  'How a job is: its state (see scheduler.job_state), whether it is stalled, what stops it, its breaker, how many '
    'occurrences failed or were missed since the last completed run, how many are due without one (those, and '
    'those under way, waiting or without a row), and what its oldest waiting run waits for.';

create function scheduler.job_states(p_names text[], p_now timestamptz) returns setof scheduler.job_condition
language sql stable set search_path = '' as $$
  select facts.name,
    scheduler.job_state(enabled, stop, breaker,
      case when enabled and next_run_at <= p_now then extract(epoch from p_now - next_run_at) end, unsuccessful,
      unbegun_seconds, waits_for),
    scheduler.is_stalled(enabled, stop, occurrences), stop, breaker, unsuccessful, occurrences, waits_for
  from (
    select jobs.name, jobs.enabled, jobs.next_run_at, scheduler.stop_now(jobs, p_now) as stop,
      case when breaker_failures is not null
        then scheduler.breaker_state(breakers.opened_at, breaker_cooldown_seconds, p_now) else 'closed' end as breaker,
      unsuccessful, unfinished_runs.unbegun_seconds, unfinished_runs.waits_for,
      unsuccessful + coalesce(unrecorded.occurrences, 0) + coalesce(unfinished_runs.open_occurrences, 0) as occurrences
    from public.scheduler_jobs as jobs
      left join public.scheduler_breakers as breakers on breakers.job_name = jobs.name
      left join scheduler.run_counters as counters on counters.job_name = jobs.name
      left join scheduler.unrecorded_occurrences(p_names, p_now) as unrecorded on unrecorded.job_name = jobs.name
      left join scheduler.unfinished_runs(p_names, p_now) on unfinished_runs.job_name = jobs.name
      cross join lateral (
        select coalesce(counters.failed_in_row + counters.missed_in_row, 0)::bigint as unsuccessful) as sums
    where jobs.name = any (p_names)
    -- Offset 0: else each of them is worked out again wherever it is used.
    offset 0
  ) as facts;
$$;
comment on function scheduler.job_states(text[], timestamptz) is 'How each of these jobs is.';

create function scheduler.all_job_states(p_now timestamptz) returns setof scheduler.job_condition
language sql stable set search_path = '' as $$
  select * from scheduler.job_states(array(select name from public.scheduler_jobs), p_now);
$$;
comment on function scheduler.all_job_states(timestamptz) is 'How every job is.';

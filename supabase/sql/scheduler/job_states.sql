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

create function scheduler.unrecorded_occurrences(p_job public.scheduler_jobs, p_now timestamptz) returns bigint
language plpgsql stable set search_path = '' as $$
begin
  return case
    when p_job.next_run_at is null or p_job.next_run_at > p_now then 0
    -- Working out a second one takes longer than all the rest: only where the first has been due for a while.
    when p_job.next_run_at > p_now - interval '1 minute' then 1
    when (scheduler.next_run(p_job, p_job.next_run_at)).run_at <= p_now then 2
    else 1 end;
end;
$$;
comment on function scheduler.unrecorded_occurrences(public.scheduler_jobs, timestamptz) is
  'How many occurrences of the job are due and have no row yet; 2 stands for two and more.';

create function scheduler.unfinished_runs(p_now timestamptz)
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
  where runs.status in ('queued', 'dispatched', 'running')
  group by runs.job_name;
$$;
comment on function scheduler.unfinished_runs(timestamptz) is
  'Of each job that has runs which are not over: how many occurrences they are of that no counter has yet, for how '
    'long one of them could have begun, and what the oldest waits for.';

create type scheduler.job_condition as (
  name text, state text, stalled boolean, stop text, breaker text, unsuccessful bigint, due_without_success bigint,
  waits_for text
);
comment on type scheduler.job_condition is
  'How a job is: its state (see scheduler.job_state), whether it is stalled, what stops it, its breaker, how many '
    'occurrences failed or were missed since the last completed run, how many are due without one (those, and '
    'those under way, waiting or without a row), and what its oldest waiting run waits for.';

create function scheduler.job_states(p_now timestamptz) returns setof scheduler.job_condition
language sql stable set search_path = '' as $$
  select facts.name,
    scheduler.job_state(enabled, facts.stop, facts.breaker,
      case when enabled and next_run_at <= p_now then extract(epoch from p_now - next_run_at) end, facts.unsuccessful,
      unfinished_runs.unbegun_seconds, unfinished_runs.waits_for),
    scheduler.is_stalled(enabled, facts.stop, due.occurrences), facts.stop, facts.breaker, facts.unsuccessful,
    due.occurrences, unfinished_runs.waits_for
  from (
    select jobs.*, scheduler.stop_now(jobs, p_now) as stop, case when breaker_failures is not null
        then scheduler.breaker_state(breakers.opened_at, breaker_cooldown_seconds, p_now) else 'closed' end as breaker,
      coalesce(counters.failed_in_row + counters.missed_in_row, 0)::bigint as unsuccessful,
      case when jobs.enabled then scheduler.unrecorded_occurrences(jobs, p_now) else 0 end as unrecorded
    from public.scheduler_jobs as jobs
      left join public.scheduler_breakers as breakers on breakers.job_name = jobs.name
      left join scheduler.run_counters as counters on counters.job_name = jobs.name
  ) as facts
    left join scheduler.unfinished_runs(p_now) on unfinished_runs.job_name = facts.name
    cross join lateral (
      select facts.unsuccessful + facts.unrecorded + coalesce(unfinished_runs.open_occurrences, 0) as occurrences
    ) as due;
$$;
comment on function scheduler.job_states(timestamptz) is 'How every job is.';

-- The API's failures: which jobs are still broken. A job that completed a run since is mended, and left out.

create function scheduler.broken_jobs(p_since timestamptz, p_after text)
returns table (job text, failed bigint, missed bigint, first_at timestamptz, last_run_id uuid)
language sql stable set search_path = '' as $$
  select counters.job_name, runs.failed, runs.missed, runs.first_at, runs.last_run_id
  from scheduler.run_counters as counters cross join lateral (
    select count(distinct scheduled_for) filter (where status = 'failed') as failed,
      coalesce(sum(occurrences) filter (where status = 'missed'), 0) as missed, min(completed_at) as first_at,
      (array_agg(id order by completed_at desc, scheduled_for desc, attempt desc))[1] as last_run_id
    from public.scheduler_runs
    where job_name = counters.job_name and status in ('failed', 'missed')
      and completed_at >= p_since and completed_at > coalesce(counters.last_success_at, '-infinity')) as runs
  where counters.job_name > coalesce(p_after, '') and runs.last_run_id is not null
  order by counters.job_name limit 101;
$$;
comment on function scheduler.broken_jobs(timestamptz, text) is
  'The jobs with a run that failed, or an occurrence that was missed, since p_since and since their last completed '
    'run: the first 101 by name after p_after, each with how many, since when, and its last such run.';

create function scheduler.retry_of(p_run public.scheduler_runs) returns public.scheduler_runs
language sql stable set search_path = '' as $$
  select * from public.scheduler_runs
  where job_name = (p_run).job_name and scheduled_for = (p_run).scheduled_for and attempt > (p_run).attempt
    and status in ('queued', 'dispatched', 'running')
  order by attempt desc limit 1;
$$;
comment on function scheduler.retry_of(public.scheduler_runs) is
  'The attempt at the run''s occurrence that comes after it and is not over; null: there is none.';

create function scheduler.api_failures(
  p_since timestamptz default null, p_cursor text default null, p_now timestamptz default clock_timestamp()
) returns jsonb
language sql stable set search_path = '' as $$
  with bounds as (
    select coalesce(p_since, p_now - interval '1 day') as since
  ), broken as (
    select found.*, row_number() over (order by job) as place, count(*) over () as rows
    from bounds cross join lateral scheduler.broken_jobs(since, p_cursor) as found
  )
  select jsonb_build_object('timestamp', p_now, 'since', (select since from bounds),
    'jobs', coalesce(jsonb_agg(jsonb_build_object('job', broken.job, 'failed', broken.failed,
      'missed', broken.missed, 'first_at', broken.first_at, 'last_run', scheduler.run_brief(last_run),
      'remedy', verdicts.remedy, 'retry', scheduler.run_brief(retry),
      'last_success_at', counters.last_success_at, 'next_run_at', case when jobs.enabled then jobs.next_run_at end)
      order by broken.place) filter (where broken.place <= 100), '[]'),
    'next_cursor', max(broken.job) filter (where broken.place = 100 and broken.rows > 100))
  from broken
    join public.scheduler_jobs as jobs on jobs.name = broken.job
    join scheduler.run_counters as counters on counters.job_name = broken.job
    join public.scheduler_runs as last_run on last_run.id = broken.last_run_id
    left join scheduler.verdicts on verdicts.verdict = last_run.verdict
    left join lateral scheduler.retry_of(last_run) as retry on true;
$$;
comment on function scheduler.api_failures(timestamptz, text, timestamptz) is
  'The jobs that are still broken since p_since (by default for a day), 100 a page by name: how many occurrences '
    'failed and were missed since their last completed run, the last of them with what to do, the attempt to come, if '
    'any, and the next occurrence. A job that completed a run since is left out.';

create function public.scheduler_api_failures(p_since timestamptz default null, p_cursor text default null)
returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_failures(p_since, p_cursor);
$$;
comment on function public.scheduler_api_failures(timestamptz, text) is
  'scheduler.api_failures by the clock of the database.';
revoke all on function public.scheduler_api_failures(timestamptz, text) from public, anon, authenticated;
grant execute on function public.scheduler_api_failures(timestamptz, text) to service_role;

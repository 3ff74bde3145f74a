-- The API's questions about times: why a job did or did not run, what comes next.

create function scheduler.api_explain(
  p_job text, p_at timestamptz default null, p_now timestamptz default clock_timestamp()
) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('job', facts -> 'job', 'at', facts -> 'at', 'kind', facts -> 'kind',
    'sentence', facts -> 'sentence', 'facts', facts - array['job', 'at', 'kind', 'sentence', 'now'])
  from scheduler.explain_json((scheduler.job_named(p_job)).name, p_at, p_now) as facts;
$$;
comment on function scheduler.api_explain(text, timestamptz, timestamptz) is
  'Why the job did, or did not, run at that minute (its latest row when none is given): the sentence of '
    'scheduler.explain, and the facts behind it. Raises SD001 for an unknown job; 22023 for a time that is none '
    '(infinity).';

create function scheduler.next_of_all(p_at timestamptz, p_name text, p_now timestamptz)
returns table (job text, run_at timestamptz, time_zone text, note text)
language sql stable set search_path = '' as $$
  select name, next_run_at, time_zone, scheduler.next_run_note(jobs, next_run_at)
  from public.scheduler_jobs as jobs
  where enabled and next_run_at is not null and (p_at is null or (next_run_at, name) > (p_at, p_name))
  order by next_run_at, name limit 101;
$$;
comment on function scheduler.next_of_all(timestamptz, text, timestamptz) is
  'The next occurrence of each enabled job that has one, the first 101 after that place, in order of time.';

create function scheduler.api_next(
  p_job text default null, p_cursor text default null, p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_place record := scheduler.read_cursor(p_cursor, '[a-z0-9][a-z0-9_-]{0,62}');
  v_answer jsonb;
begin
  with found as (
    select * from scheduler.next_of_all(v_place.at, v_place.id, p_now) where p_job is null
    union all
    select next_runs.job_name, next_runs.run_at, next_runs.time_zone, next_runs.note
    from scheduler.next_runs((scheduler.job_named(p_job)).name, 101, coalesce(v_place.at, p_now)) as next_runs
    where p_job is not null
  ), numbered as (
    select *, row_number() over (order by run_at, job) as place, count(*) over () as rows from found
  )
  select jsonb_build_object('timestamp', p_now,
      'occurrences', coalesce(jsonb_agg(jsonb_build_object('job', job, 'run_at', run_at,
        'local_time', scheduler.local_text(run_at, time_zone), 'time_zone', time_zone, 'note', note) order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(run_at, job)) filter (where place = 100 and rows > 100))
    into v_answer from numbered;
  return v_answer;
end;
$$;
comment on function scheduler.api_next(text, text, timestamptz) is
  'What comes next, 100 a page: of a job (by its name or alias) its occurrences to come, or why it has none; without '
    'one the next occurrence of each enabled job. Raises SD001 for an unknown job.';

create function public.scheduler_api_explain(p_job text, p_at timestamptz default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_explain(p_job, p_at);
$$;
comment on function public.scheduler_api_explain(text, timestamptz) is
  'scheduler.api_explain by the clock of the database.';

create function public.scheduler_api_next(p_job text default null, p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_next(p_job, p_cursor);
$$;
comment on function public.scheduler_api_next(text, text) is 'scheduler.api_next by the clock of the database.';

revoke all on function public.scheduler_api_explain(text, timestamptz), public.scheduler_api_next(text, text)
  from public, anon, authenticated;
grant execute on function public.scheduler_api_explain(text, timestamptz), public.scheduler_api_next(text, text)
  to service_role;

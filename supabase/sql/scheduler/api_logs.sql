-- The API's logs: what happened, line by line, of the ledger (each run as it came to its end) and the activity.

create function scheduler.log_runs_page(
  p_from timestamptz, p_to timestamptz, p_at timestamptz, p_key text
) returns table (at timestamptz, key text, run public.scheduler_runs)
language sql stable set search_path = '' as $$
  -- By status, so that the index of (status, completed_at) is read, and of each no more than a page.
  select ended.completed_at, ended.id::text, ended.run
  from unnest(array['completed', 'failed', 'deferred', 'skipped', 'missed', 'cancelled']) as ended_as
    cross join lateral (
      select completed_at, id, runs as run from public.scheduler_runs as runs
      where status = ended_as and completed_at >= p_from and completed_at < p_to and completed_at <= p_at
        and (completed_at < p_at or id::text collate "C" < p_key)
      order by completed_at desc, id desc limit 101) as ended;
$$;
comment on function scheduler.log_runs_page(timestamptz, timestamptz, timestamptz, text) is
  'The runs that ended in [p_from, p_to) before the place (p_at, p_key): among them the newest 101.';

create function scheduler.log_activity_page(
  p_from timestamptz, p_to timestamptz, p_at timestamptz, p_key text
) returns table (at timestamptz, key text, activity public.scheduler_activity)
language sql stable set search_path = '' as $$
  select occurred_at, lpad(id::text, 19, '0'), lines
  from public.scheduler_activity as lines
  where occurred_at >= p_from and occurred_at < p_to and occurred_at <= p_at
    and (occurred_at < p_at or lpad(id::text, 19, '0') collate "C" < p_key)
    -- A run that is in the ledger has its line from there.
    and not exists (select from public.scheduler_runs as runs where runs.id = lines.run_id)
  order by occurred_at desc, id desc limit 101;
$$;
comment on function scheduler.log_activity_page(timestamptz, timestamptz, timestamptz, text) is
  'The newest 101 lines of the activity in [p_from, p_to) before the place (p_at, p_key), but those of runs in the '
    'ledger.';

create function scheduler.log_line(
  p_at timestamptz, p_run public.scheduler_runs, p_activity public.scheduler_activity
) returns jsonb
language plpgsql stable set search_path = '' as $$
begin
  if p_run.id is not null then
    -- What the run's own line of the activity says of it.
    select * into p_activity from public.scheduler_activity where run_id = p_run.id;
  end if;
  return jsonb_build_object('at', p_at, 'source', coalesce(p_run.job_name, p_activity.source),
    'severity', coalesce(p_activity.severity, case when p_run.status in ('failed', 'missed') then 'warning'
      else 'info' end),
    'message', coalesce(p_activity.message, scheduler.run_line(p_run)), 'run', scheduler.run_brief(p_run),
    'activity_id', p_activity.id);
end;
$$;
comment on function scheduler.log_line(timestamptz, public.scheduler_runs, public.scheduler_activity) is
  'A line of the logs: of a run that ended, or of the activity.';

create function scheduler.api_logs(
  p_from timestamptz default null, p_to timestamptz default null, p_cursor text default null
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_place record := scheduler.read_cursor(p_cursor, '\d{19}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}');
  v_from constant timestamptz := coalesce(p_from, '-infinity');
  v_to constant timestamptz := coalesce(p_to, 'infinity');
  v_at constant timestamptz := coalesce(v_place.at, 'infinity');
  v_answer jsonb;
begin
  with both_kinds as (
    select at, key, run, null::public.scheduler_activity as activity
    from scheduler.log_runs_page(v_from, v_to, v_at, v_place.id)
    union all
    select at, key, null, activity from scheduler.log_activity_page(v_from, v_to, v_at, v_place.id)
  ), newest as (
    select * from both_kinds order by at desc, key collate "C" desc limit 101
  ), page as (
    select *, row_number() over (order by at desc, key collate "C" desc) as place, count(*) over () as rows from newest
  )
  select jsonb_build_object(
      'lines', coalesce(jsonb_agg(scheduler.log_line(at, run, activity) order by place)
        filter (where place <= 100), '[]'),
      'next_cursor', max(scheduler.page_cursor(at, key)) filter (where place = 100 and rows > 100))
    into v_answer from page;
  return v_answer;
end;
$$;
comment on function scheduler.api_logs(timestamptz, timestamptz, text) is
  'What happened from p_from up to p_to, newest first, 100 lines a page: {"lines": [{"at", "source", "severity", '
    '"message", "run", "activity_id"}], "next_cursor"}. A run has a line at its end; one of the activity has no run. '
    'Raises 22023 for a cursor that is none.';

create function public.scheduler_api_logs(
  p_from timestamptz default null, p_to timestamptz default null, p_cursor text default null
) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_logs(p_from, p_to, p_cursor);
$$;
comment on function public.scheduler_api_logs(timestamptz, timestamptz, text) is 'scheduler.api_logs for the API.';
revoke all on function public.scheduler_api_logs(timestamptz, timestamptz, text) from public, anon, authenticated;
grant execute on function public.scheduler_api_logs(timestamptz, timestamptz, text) to service_role;

-- The API's metrics: what happened of each job in windows up to now, by the roll-ups.

-- A loop over arrays: with a row a bucket, a page of 800 histograms takes eight times as long.
create function scheduler.timing(p_ended integer[], p_began integer[], p_sum_ms bigint) returns float8[]
language plpgsql immutable set search_path = '' as $$
declare
  v_bounds constant integer[] := scheduler.timing_bounds_ms();
  v_shares constant float8[] := array[0.5, 0.95, 0.99];
  v_all bigint := 0;
  v_below bigint := 0;
  v_amount bigint;
  v_low integer := 0;
  v_next integer := 1;
  v_found float8[] := array[null::float8, null, null, null];
begin
  for place in 1 .. cardinality(p_ended) loop
    v_all := v_all + p_ended[place] - p_began[place];
  end loop;
  v_found[4] := p_sum_ms / nullif(v_all, 0)::float8;
  -- The bucket above the last bound has no end: what lies in it stays null.
  for place in 1 .. cardinality(v_bounds) loop
    v_amount := p_ended[place] - p_began[place];
    while v_amount > 0 and v_shares[v_next] * v_all <= v_below + v_amount loop
      v_found[v_next] := v_low + (v_bounds[place] - v_low) * (v_shares[v_next] * v_all - v_below) / v_amount;
      v_next := v_next + 1;
    end loop;
    exit when v_next > 3;
    v_below := v_below + v_amount;
    v_low := v_bounds[place];
  end loop;
  return v_found;
end;
$$;
comment on function scheduler.timing(integer[], integer[], bigint) is
  'Of the timings that a histogram has in p_ended and not yet in p_began, and of their sum: p50, p95, p99 and average '
    'in milliseconds, as if those of a bucket lay evenly in it. Null without any, and for what is above the last '
    'bound.';

create function scheduler.window_metrics(p_now scheduler.run_counters, p_start scheduler.rollups) returns jsonb
language plpgsql immutable set search_path = '' as $$
declare
  v_completed constant bigint := p_now.completed - p_start.completed;
  v_failed constant bigint := p_now.failed - p_start.failed;
  v_deferred constant bigint := p_now.deferred - p_start.deferred;
  v_duration constant float8[] := scheduler.timing(p_now.durations, p_start.durations,
    p_now.duration_sum_ms - p_start.duration_sum_ms);
  v_lag constant float8[] := scheduler.timing(p_now.fire_lags, p_start.fire_lags,
    p_now.fire_lag_sum_ms - p_start.fire_lag_sum_ms);
begin
  return jsonb_build_object('from', p_start.taken_at, 'runs', v_completed + v_failed + v_deferred,
    'completed', v_completed, 'failed', v_failed, 'deferred', v_deferred,
    'success_rate', round(v_completed::numeric / nullif(v_completed + v_failed, 0), 4),
    'cancelled', p_now.cancelled - p_start.cancelled, 'skipped', p_now.skipped - p_start.skipped,
    'missed', p_now.missed - p_start.missed, 'lost', p_now.lost - p_start.lost,
    'retries', p_now.retries - p_start.retries,
    'duration', jsonb_build_object('average_ms', round(v_duration[4]), 'p50_ms', round(v_duration[1]),
      'p95_ms', round(v_duration[2]), 'p99_ms', round(v_duration[3])),
    'fire_lag', jsonb_build_object('average_ms', round(v_lag[4]), 'p50_ms', round(v_lag[1]),
      'p95_ms', round(v_lag[2]), 'p99_ms', round(v_lag[3])));
end;
$$;
comment on function scheduler.window_metrics(scheduler.run_counters, scheduler.rollups) is
  'What happened of a job since that roll-up; nulls for none.';

create function scheduler.metrics_of(p_names text[], p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('job', jobs.name, 'alias', jobs.alias, 'group', jobs.group_name,
    'windows', windows.all) order by jobs.name), '[]')
  from public.scheduler_jobs as jobs join scheduler.run_counters as counters on counters.job_name = jobs.name
    cross join lateral (
      select jsonb_object_agg(windows.name, scheduler.window_metrics(counters, first.copy)) as all
      from scheduler.metric_windows() as windows left join lateral (
        -- The oldest one that is at most a step older than the window is long.
        select rollups as copy from scheduler.rollups
        where job_name = jobs.name and taken_at >= p_now - windows.length - windows.step and taken_at <= p_now
        order by taken_at limit 1) as first on true
    ) as windows
  where jobs.name = any (p_names);
$$;
comment on function scheduler.metrics_of(text[], timestamptz) is
  'The windows of each of these jobs up to p_now, each from the roll-up at its beginning, or the oldest after it.';

create function scheduler.api_metrics(
  p_job text default null, p_cursor text default null, p_now timestamptz default clock_timestamp()
) returns jsonb
language plpgsql stable set search_path = '' as $$
declare
  v_names constant text[] := case when p_job is not null then array[(scheduler.job_named(p_job)).name] else array(
    select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 101) end;
begin
  return jsonb_build_object('timestamp', p_now, 'jobs', scheduler.metrics_of(v_names[1:100], p_now),
    'next_cursor', case when cardinality(v_names) > 100 then v_names[100] end);
end;
$$;
comment on function scheduler.api_metrics(text, text, timestamptz) is
  'Of one job (by its name or alias) or of all, 100 a page by name: what happened in the last hour, 24 hours, 7 and 30 '
    'days: {"<window>": {"from": since when it is told, null when nothing is known, "runs": completed, failed or '
    'deferred, "success_rate": of those that completed or failed, the counts, "duration" and "fire_lag": '
    '{"average_ms", "p50_ms", "p95_ms", "p99_ms"}}}. Percentiles are of buckets, off by 30 % at most. '
    'Raises SD001 for an unknown job.';

create function public.scheduler_api_metrics(p_job text default null, p_cursor text default null) returns jsonb
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_metrics(p_job, p_cursor);
$$;
comment on function public.scheduler_api_metrics(text, text) is 'scheduler.api_metrics by the clock of the database.';
revoke all on function public.scheduler_api_metrics(text, text) from public, anon, authenticated;
grant execute on function public.scheduler_api_metrics(text, text) to service_role;

-- The API's timeline: what a picture of a day needs. A job that runs each minute has 1,440 runs a day, so a picture is
-- made of cells of equal length, each with its counts; the history has the runs of a cell.

create function scheduler.cell_seconds(p_from timestamptz, p_to timestamptz) returns integer
language sql immutable set search_path = '' as $$
  select seconds from unnest(array[10, 60, 300, 900, 1800, 3600, 7200, 21600, 43200, 86400]) as seconds
  where seconds >= extract(epoch from p_to - p_from) / 96
  order by seconds limit 1;
$$;
comment on function scheduler.cell_seconds(timestamptz, timestamptz) is
  'How long the cells of a timeline are: the first of the usual lengths by which there are at most 96 of them.';

create function scheduler.timeline_runs(
  p_names text[], p_from timestamptz, p_to timestamptz, p_cell interval
) returns table (job text, at timestamptz, state text, amount bigint)
language sql stable set search_path = '' as $$
  select name, cells.at, case
      when cells.status in ('dispatched', 'running') then 'under_way'
      when cells.status = 'queued' then 'waiting' else cells.status end, sum(cells.amount)::bigint
  from unnest(p_names) as name cross join lateral (
    -- By job: sorting all of them by their names takes as long as reading them. By the status as it stands there: what
    -- it is called is worked out for each cell, and not for each of a hundred thousand runs.
    select date_bin(p_cell, scheduled_for, p_from) as at, status, sum(occurrences) as amount
    from (
      -- The last attempt at an occurrence says what became of it. In this order the index needs no sorting.
      select distinct on (scheduled_for) scheduled_for, status, occurrences
      from public.scheduler_runs
      where job_name = name and trigger <> 'manual' and scheduled_for >= p_from and scheduled_for < p_to
      order by scheduled_for desc, attempt desc
    ) as runs
    group by 1, 2
    union all
    select date_bin(p_cell, scheduled_for, p_from), status, occurrences
    from public.scheduler_runs as calls
    where job_name = name and trigger = 'manual' and created_at >= p_from and created_at < p_to
      and scheduled_for >= p_from and not exists (
        select from public.scheduler_runs as later
        where later.job_name = name and later.scheduled_for = calls.scheduled_for and later.trigger <> 'manual')
  ) as cells
  group by 1, 2, 3;
$$;
comment on function scheduler.timeline_runs(text[], timestamptz, timestamptz, interval) is
  'Of the occurrences and calls of these jobs in [p_from, p_to), by cell: how many came to what. A gap counts in the '
    'cell in which it begins.';

create function scheduler.timeline_to_come(
  p_names text[], p_from timestamptz, p_to timestamptz, p_cell interval, p_now timestamptz
) returns table (job text, at timestamptz, state text, amount bigint)
language plpgsql stable set search_path = '' as $$
declare
  v_plan record;
begin
  -- Jobs often have their schedule in common. It is worked out once: a day of every minute takes longer than all the
  -- rest of a job.
  for v_plan in
    select schedule, time_zone, greatest(p_from, p_now, next_run_at) as starts_at, array_agg(name) as names
    from public.scheduler_jobs
    where name = any (p_names) and enabled and schedule is not null and next_run_at < p_to
    group by 1, 2, 3 order by 1, 2, 3
  loop
    begin
      return query
        select name, cells.at, 'to_come', cells.amount
        from (
          select date_bin(p_cell, occurrence, p_from) as at, count(*) as amount
          from scheduler.occurrences(v_plan.schedule, v_plan.time_zone, v_plan.starts_at, p_to) as occurrence
          group by 1
        ) as cells cross join unnest(v_plan.names) as name;
    exception when invalid_parameter_value then
      -- Jobs whose zone Postgres does not know must not hide the others; their state says what is wrong.
      null;
    end;
  end loop;
end;
$$;
comment on function scheduler.timeline_to_come(text[], timestamptz, timestamptz, interval, timestamptz) is
  'Of the occurrences to come of these jobs up to p_to, by cell: how many.';

create function scheduler.zone_changes(p_names text[], p_from timestamptz, p_to timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('time_zone', time_zone, 'at', starts_at,
    'offset_before_seconds', extract(epoch from offset_before), 'offset_seconds', extract(epoch from utc_offset))
    order by starts_at, time_zone), '[]')
  from (
    select distinct time_zone from public.scheduler_jobs
    where name = any (p_names) and scheduler.knows_time_zone(time_zone)
  ) as zones, lateral scheduler.offset_periods(time_zone, p_from, p_to) as periods
  where offset_before is not null;
$$;
comment on function scheduler.zone_changes(text[], timestamptz, timestamptz) is
  'The changes of the clock in the zones of these jobs.';

create function scheduler.api_timeline(
  p_from timestamptz default null, p_to timestamptz default null, p_cursor text default null,
  p_now timestamptz default clock_timestamp()
) returns json
language plpgsql stable set search_path = '' as $$
declare
  v_from constant timestamptz := coalesce(p_from, date_trunc('day', p_now at time zone 'UTC') at time zone 'UTC');
  v_to constant timestamptz := coalesce(p_to, v_from + interval '1 day');
  v_cell interval;
  v_names text[];
begin
  if not coalesce(isfinite(v_from) and isfinite(v_to) and v_from < v_to and v_to - v_from <= interval '31 days', false)
  then
    raise exception using errcode = '22023', message = format('cannot show the timeline: from must be before to, by at '
      'most 31 days, got %s and %s', v_from, v_to);
  end if;
  v_cell := make_interval(secs => scheduler.cell_seconds(v_from, v_to));
  v_names := array(select name from public.scheduler_jobs where name > coalesce(p_cursor, '') order by name limit 26);
  -- Thousands of cells: as jsonb they take twice as long.
  return json_build_object('timestamp', p_now, 'from', v_from, 'to', v_to,
    'cell_seconds', extract(epoch from v_cell)::integer,
    'jobs', (
      select coalesce(json_agg(json_build_object('job', jobs.name, 'time_zone', jobs.time_zone,
        'cells', coalesce(cells.all, '[]')) order by jobs.name), '[]')
      from public.scheduler_jobs as jobs left join (
        select job, json_agg(cell order by at) as all
        from (
          select job, at, ('{"at":' || to_json(at) || string_agg(format(',%s:%s', to_json(state), amount), '')
            || '}')::json as cell
          from (
            select * from scheduler.timeline_runs(v_names[1:25], v_from, v_to, v_cell)
            union all
            select * from scheduler.timeline_to_come(v_names[1:25], v_from, v_to, v_cell, p_now)
          ) as found
          group by job, at) as by_cell
        group by job) as cells on cells.job = jobs.name
      where jobs.name = any (v_names[1:25])),
    'zone_changes', scheduler.zone_changes(v_names[1:25], v_from, v_to),
    'next_cursor', case when cardinality(v_names) > 25 then v_names[25] end);
end;
$$;
comment on function scheduler.api_timeline(timestamptz, timestamptz, text, timestamptz) is
  'What a picture of [p_from, p_to) needs, at most 31 days and by default the day that it is in UTC: of 25 jobs a '
    'page the cells that are not empty, each with how many occurrences came to what or are to come; and the changes of '
    'the clock in their zones. Raises 22023 for a range that is none.';

create function public.scheduler_api_timeline(
  p_from timestamptz default null, p_to timestamptz default null, p_cursor text default null
) returns json
language sql stable security definer set search_path = '' set statement_timeout = '5s' set lock_timeout = '2s' as $$
  select scheduler.api_timeline(p_from, p_to, p_cursor);
$$;
comment on function public.scheduler_api_timeline(timestamptz, timestamptz, text) is
  'scheduler.api_timeline by the clock of the database.';
revoke all on function public.scheduler_api_timeline(timestamptz, timestamptz, text) from public, anon, authenticated;
grant execute on function public.scheduler_api_timeline(timestamptz, timestamptz, text) to service_role;

-- What is foreseen of a job, from its days up to yesterday. Nothing is said of fewer than 14 days, or of a job that has
-- not run for a fortnight.

create function scheduler.duration_trend(p_job_name text, p_today date) returns scheduler.trend
language sql stable set search_path = '' as $$
  select scheduler.trend_of(array_agg(day order by day), array_agg(p95 order by day), p_today)
  from (
    select day, scheduler.percentile_ms(durations, 0.95, shortest_ms, longest_ms) as p95
    from scheduler.job_days
    where job_name = p_job_name and day >= p_today - 182 and day < p_today and durations <> '{}') as days
  having max(day) >= p_today - 14;
$$;
comment on function scheduler.duration_trend(text, date) is
  'How the p95 of a day''s durations stands and moves, in milliseconds, by half a year.';

-- By the times of a day and the dates that match: occurrences are thousands where they are frequent, and those of some
-- hours do not say what those of others are. A change of the clock counts for nothing.
create function scheduler.shortest_interval_ms(p_job public.scheduler_jobs, p_now timestamptz) returns bigint
language plpgsql stable set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule;
  v_times integer[];
  v_days integer;
begin
  if p_job.schedule is null or p_job.continuous then
    return null;
  end if;
  v_parsed := scheduler.parse_schedule(p_job.schedule);
  if v_parsed.interval_seconds is not null then
    return v_parsed.interval_seconds * 1000::bigint;
  end if;
  v_times := array(
    select hour * 60 + minute from unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute order by 1);
  v_days := (
    select min(extract(day from gap)) from (
      select day - lag(day) over (order by day) as gap
      from scheduler.matching_dates(v_parsed, scheduler.utc_day(p_now), scheduler.utc_day(p_now) + 366)) as gaps);
  return 60000::bigint * least(1440 * v_days - v_times[cardinality(v_times)] + v_times[1], (
    select min(v_times[place + 1] - v_times[place]) from generate_series(1, cardinality(v_times) - 1) as place));
end;
$$;
comment on function scheduler.shortest_interval_ms(public.scheduler_jobs, timestamptz) is
  'The shortest time between two occurrences of the job; null without a schedule, or with fewer than two in a year.';

create function scheduler.job_limits(p_job public.scheduler_jobs, p_plan public.scheduler_plans, p_now timestamptz)
returns table (name text, ms bigint)
language sql stable set search_path = '' as $$
  select limits.name, limits.ms from (values
    ('timeout', p_job.timeout_seconds * 1000::bigint),
    ('wall_clock', case when p_job.function_name is not null then p_plan.wall_clock_seconds * 1000::bigint end),
    -- Runs that may overlap do not have to end in time for the next.
    ('interval', case when p_job.overlap_policy <> 'allow' then scheduler.shortest_interval_ms(p_job, p_now) end)
  ) as limits (name, ms)
  where limits.ms is not null and not p_job.continuous;
$$;
comment on function scheduler.job_limits(public.scheduler_jobs, public.scheduler_plans, timestamptz) is
  'How long a run of the job may take: its timeout, the wall clock of the plan, its own interval. A continuous job has '
    'none: its runs last as long as they may.';

create function scheduler.outgrown_limits(
  p_job public.scheduler_jobs, p_trend scheduler.trend, p_plan public.scheduler_plans, p_now timestamptz
) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('kind', 'outgrows', 'limit', limits.name, 'limit_ms', ms,
    'reached', is_reached, 'on', case when is_reached then today else (arrival).on_day end,
    'earliest', (arrival).earliest, 'latest', (arrival).latest, 'p95_ms', round((p_trend).level),
    'ms_a_day', round((p_trend).slope::numeric, 3), 'least_ms_a_day', round((p_trend).slope_least::numeric, 3),
    'most_ms_a_day', round((p_trend).slope_most::numeric, 3), 'days', (p_trend).days, 'since', (p_trend).first_day)
    order by is_reached desc, (arrival).on_day, limits.name), '[]')
  from scheduler.utc_day(p_now) as today, scheduler.job_limits(p_job, p_plan, p_now) as limits,
    lateral (select scheduler.has_reached(p_trend, ms) as is_reached) as there,
    lateral (select case when not is_reached then scheduler.arrival_of(p_trend, ms, today) end as arrival) as ahead
  where is_reached or (arrival).on_day is not null;
$$;
comment on function scheduler.outgrown_limits(
  public.scheduler_jobs, scheduler.trend, public.scheduler_plans, timestamptz
) is 'When the job''s p95 reaches each of its limits, an array of findings; those that it will not reach are left out.';

create function scheduler.share_facts(p_share scheduler.share) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('rate', round((p_share).share::numeric, 6), 'least', round((p_share).least::numeric, 6),
    'most', round((p_share).most::numeric, 6));
$$;
comment on function scheduler.share_facts(scheduler.share) is 'A share as a finding shows it.';

create function scheduler.failure_change(p_job_name text, p_today date) returns jsonb
language sql stable set search_path = '' as $$
  with days as (
    select day, failed::float8 as failed, (completed + failed)::float8 as judged,
      row_number() over (order by day desc) <= 7 as is_new
    from scheduler.job_days
    where job_name = p_job_name and day >= p_today - 91 and day < p_today and completed + failed > 0
  ), sides as (
    select count(*) as days, min(day) filter (where is_new) as since, max(day) as newest,
      scheduler.share_without_worst_day(array_agg(failed) filter (where is_new),
        array_agg(judged) filter (where is_new)) as now,
      scheduler.share_without_worst_day(array_agg(failed) filter (where not is_new),
        array_agg(judged) filter (where not is_new)) as before
    from days
  )
  select jsonb_build_object('kind', 'failure_rate', 'rises', (now).share > (before).share, 'since', since,
    'now', scheduler.share_facts(now), 'before', scheduler.share_facts(before), 'days', days)
  from sides
  where days >= 14 and newest >= p_today - 14
    and ((now).least > (before).most or (now).most < (before).least);
$$;
comment on function scheduler.failure_change(text, date) is
  'Whether the last seven days on which the job ran had another failure rate than those before, by three months: their '
    '99 % intervals do not meet, the worst day of each side left out. A finding, or null.';

create type scheduler.hour_size as (
  day date, utc_hour integer, hour integer, weekday integer, is_new boolean, size float8, weight float8
);
comment on type scheduler.hour_size is
  'An hour of a job, and which hour and weekday (0 is Monday) it is on the job''s own clock. size: the logarithm of '
    'how many milliseconds its runs took on average; weight: the root of how many they were, as an average of few is '
    'more of a chance.';

create function scheduler.offset_minutes(p_day date, p_utc_hour integer, p_time_zone text) returns integer
language sql immutable set search_path = '' as $$
  select ((extract(epoch from to_timestamp(epoch) at time zone p_time_zone) - epoch) / 60)::integer
  from (select 86400::bigint * (p_day - date '1970-01-01') + 3600 * p_utc_hour as epoch) as moment;
$$;
comment on function scheduler.offset_minutes(date, integer, text) is
  'By how much the clock of a zone is ahead of UTC in an hour of a UTC day.';

create function scheduler.hour_sizes(p_job public.scheduler_jobs, p_today date) returns setof scheduler.hour_size
language sql stable set search_path = '' rows 1000 as $$
  -- Materialized: without it the offsets of a day are looked up for each of its hours, which takes many times as long.
  with days as materialized (
    select day, hour_runs, hour_ms, array_lower(hour_runs, 1) as first_hour, day - date '2001-01-01' as number, zone,
      scheduler.offset_minutes(day, array_lower(hour_runs, 1), zone) as first_offset,
      scheduler.offset_minutes(day, array_upper(hour_runs, 1), zone) as last_offset
    from scheduler.job_days, scheduler.shown_time_zone(p_job.time_zone) as zone
    where job_name = p_job.name and day >= p_today - 43 and day < p_today and hour_runs <> '{}'
  )
  select day, utc_hour, local_minute / 60 % 24, (number + local_minute / 1440 - 2) % 7, day = p_today - 1,
    ln(greatest(ms / runs::float8, 1)), sqrt(runs)
  from days, unnest(hour_runs, hour_ms) with ordinality as hours (runs, ms, place),
    lateral (select (first_hour + place - 1)::integer as utc_hour) as utc_hours,
    -- Two days on, so that it is not negative.
    lateral (select 2880 + 60 * utc_hour + case when first_offset = last_offset then first_offset
      else scheduler.offset_minutes(day, utc_hour, zone) end as local_minute) as clock
  where runs > 0;
$$;
comment on function scheduler.hour_sizes(public.scheduler_jobs, date) is
  'The hours of a job in the six weeks before yesterday, and yesterday''s, which are new.';

create function scheduler.unusual_hours(p_job public.scheduler_jobs, p_today date) returns jsonb
language sql stable set search_path = '' as $$
  with hours as (
    select * from scheduler.hour_sizes(p_job, p_today)
  ), usual as (
    select hour, percentile_cont(0.5) within group (order by size) as size
    from hours where not is_new group by hour having count(*) >= 7
  ), compared as (
    select hours.*, usual.size as usual, hours.size - usual.size as more from hours join usual using (hour)
  ), weekdays as (
    select weekday, percentile_cont(0.5) within group (order by more) as more, count(distinct day) as days
    from compared where not is_new group by weekday
  ), judged as (
    -- What a weekday adds is reckoned with from five of them on, and excuses from two on.
    select day, utc_hour, is_new, size, weight, days, usual + on_weekday as usual, compared.more - on_weekday as off,
      compared.more - weekdays.more as off_excused
    from compared join weekdays using (weekday),
      lateral (select case when days >= 5 then weekdays.more else 0 end as on_weekday) as effect
  ), ranges as (
    select min(off * weight) as least, max(off * weight) as most, count(distinct day) as days,
      5 * scheduler.spread(array_agg(off * weight)) as reach
    from judged where not is_new
  ), unusual as (
    select judged.*, ranges.days as known, greatest(ln(1.5), reach / weight) as reach, least / weight as least,
      most / weight as most
    from judged, ranges
    where is_new and ranges.days >= 14 and judged.days >= 2 and not p_job.continuous
  )
  select coalesce(jsonb_agg(finding), '[]') from (
    select jsonb_build_object('kind', 'unusual_duration',
      'at', (day + make_interval(hours => utc_hour)) at time zone 'UTC', 'average_ms', round(exp(size)),
      'usual_ms', round(exp(usual)), 'least_ms', round(exp(usual + least(least, -reach))),
      'most_ms', round(exp(usual + greatest(most, reach))), 'days', known) as finding
    from unusual
    where abs(off) > reach and abs(off_excused) > reach and (off > most or off < least)
    order by abs(off) desc, utc_hour limit 5) as farthest;
$$;
comment on function scheduler.unusual_hours(public.scheduler_jobs, date) is
  'Yesterday''s hours in which runs took longer or shorter than ever in the six weeks before, and than five spreads '
    'of what is usual in that hour and on that weekday of the job''s own clock: an array of findings, the farthest '
    'five.';

create function scheduler.figure_trends(p_job public.scheduler_jobs, p_today date) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_object_agg(figure, jsonb_build_object('level', round((trend).level::numeric, 3),
    'a_day', round((trend).slope::numeric, 6), 'least_a_day', round((trend).slope_least::numeric, 6),
    'most_a_day', round((trend).slope_most::numeric, 6),
    'in_30_days', round(((trend).level + 30 * (trend).slope)::numeric, 3),
    'days', (trend).days, 'since', (trend).first_day)), '{}')
  from (
    select figure, scheduler.trend_of(array_agg(day order by day),
      array_agg((figures -> figure ->> 'sum')::float8 order by day), p_today) as trend
    from unnest(p_job.figures) as figure join scheduler.job_days
      on job_name = p_job.name and day >= p_today - 182 and day < p_today and figures ? figure
    group by figure having max(day) >= p_today - 14) as figures
  where (trend).days is not null;
$$;
comment on function scheduler.figure_trends(public.scheduler_jobs, date) is
  'How the sum of a day of each figure that the job names stands and moves: {"rows": {"level", "a_day" …}}; a_day '
    'null where no trend is proven.';

create function scheduler.job_cost(p_job_name text, p_today date) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('invocations', round(30.0 * sent / known), 'wall_seconds',
    round(30.0 * wall_ms / 1000 / known), 'days', known)
  from (
    -- Of six weeks, or since the first day that is known. A mean: odd days are paid for, too.
    select least(42, p_today - (select min(day) from scheduler.job_days where job_name = p_job_name)) as known,
      coalesce(sum(sent), 0) as sent, coalesce(sum(wall_ms), 0) as wall_ms
    from scheduler.job_days where job_name = p_job_name and day >= p_today - 42 and day < p_today) as sums
  where known >= 14;
$$;
comment on function scheduler.job_cost(text, date) is
  'What 30 days of the job are, as the last six weeks were: calls of its edge function, and seconds that it works. '
    'Null of fewer than 14 days.';

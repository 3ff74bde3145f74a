-- What is foreseen of the whole: how large the ledger becomes, and what a month costs.

create function scheduler.ledger_size(out rows bigint, out bytes bigint)
language plpgsql stable set search_path = '' as $$
declare
  v_ledger constant regclass := 'public.scheduler_runs';
  v_pages constant bigint := pg_relation_size(v_ledger) / current_setting('block_size')::integer;
begin
  bytes := pg_total_relation_size(v_ledger);
  if v_pages > 1000 then
    -- As the planner does: as many rows a page as the last vacuum or analyze found.
    select round(v_pages * reltuples / relpages) into rows from pg_catalog.pg_class
      where oid = v_ledger and reltuples >= 0 and relpages > 0;
  end if;
  if rows is null then
    select count(*) into rows from public.scheduler_runs;
  end if;
end;
$$;
comment on function scheduler.ledger_size() is
  'How many rows the ledger has (counted up to 1,000 pages, else reckoned) and how many bytes, with its indexes.';

create function scheduler.oldest_run(p_statuses text[]) returns timestamptz
language sql stable set search_path = '' as $$
  select min(oldest) from unnest(p_statuses) as wanted, lateral (
    select min(completed_at) as oldest from public.scheduler_runs where status = wanted) as by_status;
$$;
comment on function scheduler.oldest_run(text[]) is
  'When the oldest run of these statuses ended that the ledger has; null without one.';

create function scheduler.held_from(p_oldest timestamptz, p_keep_days integer, p_today date) returns date
language sql immutable set search_path = '' as $$
  -- A day early: pruning goes hourly, and a quiet night leaves no row.
  select greatest(p_today, scheduler.utc_day(p_oldest) + p_keep_days - 1) where p_keep_days <= 3650;
$$;
comment on function scheduler.held_from(timestamptz, integer, date) is
  'From when on as many rows go as come, by the oldest row and how long rows are kept: today when that is so already; '
    'null for more than ten years.';

create function scheduler.trend_facts(p_trend scheduler.trend) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('level', round((p_trend).level), 'a_day', round((p_trend).slope),
    'least_a_day', round((p_trend).slope_least), 'most_a_day', round((p_trend).slope_most),
    'days', (p_trend).days, 'since', (p_trend).first_day)
  where (p_trend).days is not null;
$$;
comment on function scheduler.trend_facts(scheduler.trend) is 'A trend of whole numbers as a forecast shows it.';

create function scheduler.project_days(p_from date, p_today date)
returns table (day date, sent float8, seconds float8, successes float8, failures float8)
language sql stable set search_path = '' rows 100 as $$
  select calendar.day, coalesce(sum(days.sent), 0), round(coalesce(sum(wall_ms), 0) / 1000.0),
    coalesce(sum(success_rows), 0), coalesce(sum(failure_rows), 0)
  from (
    select first + nth as day
    from (select min(known.day) as first from scheduler.job_days as known where known.day >= p_from) as known,
      generate_series(0, p_today - 1 - first) as nth
  ) as calendar left join scheduler.job_days as days on days.day = calendar.day
  group by calendar.day order by calendar.day;
$$;
comment on function scheduler.project_days(date, date) is
  'What all jobs came to on each day, from the first that is known since p_from to the one before p_today: calls, '
    'seconds of work, and rows of the ledger. A day on which nothing ended has zeros.';

create function scheduler.ledger_forecast(p_today date) returns jsonb
language sql stable set search_path = '' as $$
  with coming as (
    select count(*) as days, scheduler.usual_a_day(array_agg(day), array_agg(successes)) as successes,
      scheduler.usual_a_day(array_agg(day), array_agg(failures)) as failures
    from scheduler.project_days(p_today - 42, p_today)
  ), kept as (
    select scheduler.setting('scheduler.keep_successes_days') as successes,
      scheduler.setting('scheduler.keep_failures_days') as failures
  ), size as (
    select rows, bytes, bytes / nullif(rows, 0)::float8 as row_bytes from scheduler.ledger_size()
  ), held as (
    select case when coming.successes > 0 then scheduler.held_from(
        scheduler.oldest_run(array['completed', 'skipped', 'deferred']), kept.successes, p_today) else p_today end
        as successes_on,
      case when coming.failures > 0 then scheduler.held_from(
        scheduler.oldest_run(array['failed', 'missed', 'cancelled']), kept.failures, p_today) else p_today end
        as failures_on,
      coming.successes * kept.successes + coming.failures * kept.failures as rows
    from kept, coming
  ), sizes as (
    select scheduler.trend_of(array_agg(day order by day), array_agg(rows::float8 order by day), p_today) as rows,
      scheduler.trend_of(array_agg(day order by day), array_agg(bytes::float8 order by day), p_today) as bytes
    from scheduler.ledger_days where day > p_today - 91 and day <= p_today
  )
  select jsonb_build_object('rows', size.rows, 'bytes', size.bytes, 'days', coming.days)
    || case when coming.days >= 14 then jsonb_build_object('rows_a_day', round(coming.successes + coming.failures),
      'held_on', case when num_nulls(successes_on, failures_on) = 0 then greatest(successes_on, failures_on) end,
      'held_rows', round(held.rows), 'held_bytes', round(held.rows * size.row_bytes))
      else '{"rows_a_day": null, "held_on": null, "held_rows": null, "held_bytes": null}' end
    || jsonb_build_object('growth', jsonb_build_object('rows', scheduler.trend_facts(sizes.rows),
      'bytes', scheduler.trend_facts(sizes.bytes)))
  from size, coming, held, sizes;
$$;
comment on function scheduler.ledger_forecast(date) is
  'How large the ledger is, how many rows come a day, from when on retention takes as many as come, and how large it '
    'is then; growth: the trends of its size at the beginning of each day, where they are known for 14.';

create function scheduler.month_ahead(p_days date[], p_values float8[], p_today date) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_build_object('next_30_days', round(greatest(0, middle)), 'least', round(greatest(0, middle - reach)),
    'most', round(greatest(0, middle + reach)), 'a_day', round((trend).slope::numeric, 3), 'days', (trend).days,
    'since', (trend).first_day)
  from scheduler.trend_of(p_days, p_values, p_today) as trend,
    -- What lies before a step is left out here, too.
    lateral (select cardinality(p_days) - (trend).days + 1 as first) as since, lateral (
    select 30 * case when (trend).slope is null then scheduler.usual_a_day(p_days[first:], p_values[first:])
        else (trend).level + 15 * (trend).slope end as middle,
      30 * (2.45 * (trend).spread / sqrt((trend).days)
        + 15 * coalesce(greatest((trend).slope - (trend).slope_least, (trend).slope_most - (trend).slope), 0))
      as reach) as month
  where (trend).days is not null;
$$;
comment on function scheduler.month_ahead(date[], float8[], date) is
  'What the next 30 days come to, by what each day was, ascending, and between what and what; null of fewer than 14 '
    'days.';

create function scheduler.cost_forecast(p_plan public.scheduler_plans, p_today date) returns jsonb
language sql stable set search_path = '' as $$
  with series as (
    select array_agg(day order by day) as days, array_agg(sent order by day) as sent,
      array_agg(seconds order by day) as seconds, coalesce(sum(sent) filter (where day >= p_today - 30), 0) as calls,
      coalesce(sum(seconds) filter (where day >= p_today - 30), 0) as wall
    from scheduler.project_days(p_today - 91, p_today)
  ), months as (
    select series.*, scheduler.month_ahead(series.days, sent, p_today) as calls_ahead,
      scheduler.month_ahead(series.days, seconds, p_today) as wall_ahead,
      -- The middle of the month that begins on that day is half a month later.
      scheduler.arrival_of(trend, p_plan.invocations_included / 30.0::float8 - 15 * trend.slope, p_today) as over
    from series, scheduler.trend_of(series.days, sent, p_today) as trend
  )
  select jsonb_build_object('plan', p_plan.plan, 'source', p_plan.source, 'looked_up_on', p_plan.looked_up_on,
    'invocations', jsonb_build_object('last_30_days', calls, 'ahead', calls_ahead,
      'included', p_plan.invocations_included, 'exceeds_on', case
        when (calls_ahead ->> 'next_30_days')::numeric > p_plan.invocations_included then p_today
        else (over).on_day end, 'earliest', (over).earliest, 'latest', (over).latest),
    'wall_seconds', jsonb_build_object('last_30_days', wall, 'ahead', wall_ahead,
      'included', p_plan.wall_seconds_included),
    'usd', scheduler.plan_price(p_plan, (calls_ahead ->> 'next_30_days')::numeric,
      (wall_ahead ->> 'next_30_days')::numeric))
  from months;
$$;
comment on function scheduler.cost_forecast(public.scheduler_plans, date) is
  'Calls of edge functions and seconds of work by all jobs: in the last 30 days and in the next; what the plan '
    'includes, when that is exceeded, and what the next 30 days cost above it (null: too few days, or the plan does '
    'not sell so many).';

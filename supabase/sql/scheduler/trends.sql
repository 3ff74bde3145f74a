-- The statistics of forecasts: medians, which a few odd days do not move, and counts of pairs, which a person can
-- check. They read no table. docs/forecasts.md describes each.

create type scheduler.trend as (
  days integer, first_day date, last_day date, level float8, slope float8, slope_least float8, slope_most float8,
  spread float8
);
comment on type scheduler.trend is
  'How a figure stands and moves. days: how many are reckoned with; level: where it stands on the day of the question; '
    'slope: by how much it moves a day, with its 95 % interval, null when no trend is proven; spread: how far a day '
    'lies from the line, as a standard deviation.';

create type scheduler.line as (z float8, slope float8, slope_least float8, slope_most float8);
comment on type scheduler.line is
  'The Theil-Sen line through days. z: how many standard deviations the count of rising less falling pairs is from 0.';

create function scheduler.theil_sen(p_days integer[], p_values float8[]) returns scheduler.line
language plpgsql immutable set search_path = '' as $$
declare
  -- From 28 days on only days a whole number of weeks apart are compared: then what a week does is no growth.
  v_season constant integer := case when cardinality(p_days) >= 28 then 7 else 1 end;
  v_slopes float8[];
  v_rising float8;
  v_variance float8;
  v_reach float8;
  v_pairs integer;
begin
  select array_agg(slope order by slope), sum(sign(slope)) into v_slopes, v_rising
  from (
    select (later.value - earlier.value) / (later.day - earlier.day) as slope
    from unnest(p_days, p_values) as earlier (day, value) join unnest(p_days, p_values) as later (day, value)
      on later.day % v_season = earlier.day % v_season and later.day > earlier.day
  ) as pairs;
  -- Of Kendall's count, were the order of the days chance (seasonal: Hirsch, Slack and Smith 1982).
  v_variance := (
    select sum(days * (days - 1) * (2 * days + 5) / 18.0)
    from (select count(*) as days from unnest(p_days) as day group by day % v_season) as seasons);
  v_pairs := coalesce(cardinality(v_slopes), 0);
  if v_pairs = 0 then
    return null;
  end if;
  v_reach := 1.96 * sqrt(v_variance);
  return row((v_rising - sign(v_rising)) / sqrt(v_variance),
    (v_slopes[(v_pairs + 1) / 2] + v_slopes[v_pairs / 2 + 1]) / 2,
    v_slopes[greatest(1, floor((v_pairs - v_reach) / 2)::integer)],
    v_slopes[least(v_pairs, ceil((v_pairs + v_reach) / 2)::integer + 1)])::scheduler.line;
end;
$$;
comment on function scheduler.theil_sen(integer[], float8[]) is
  'The median of the slopes between all pairs of days (from 28 days on: days a whole number of weeks apart), its 95 % '
    'interval (Sen 1968), and how certain it is that there is a slope at all (Mann-Kendall). Null without a pair.';

create function scheduler.median(p_values float8[]) returns float8
language sql immutable set search_path = '' as $$
  select percentile_cont(0.5) within group (order by value) from unnest(p_values) as value;
$$;
comment on function scheduler.median(float8[]) is 'The median; null of none.';

create function scheduler.remainders(p_days integer[], p_values float8[], p_slope float8) returns float8[]
language sql immutable set search_path = '' as $$
  select array_agg(value - p_slope * day order by place)
  from unnest(p_days, p_values) with ordinality as points (day, value, place);
$$;
comment on function scheduler.remainders(integer[], float8[], float8) is
  'What is left of the values when the slope is taken away, as on day 0.';

create function scheduler.deviation(p_values float8[]) returns float8
language sql immutable set search_path = '' as $$
  select sum(abs(value - middle)) from unnest(p_values) as value, scheduler.median(p_values) as middle;
$$;
comment on function scheduler.deviation(float8[]) is 'The sum of the distances from the median.';

create function scheduler.spread(p_values float8[]) returns float8
language sql immutable set search_path = '' as $$
  select 1.4826 * percentile_cont(0.5) within group (order by abs(value - middle))
  from unnest(p_values) as value, scheduler.median(p_values) as middle;
$$;
comment on function scheduler.spread(float8[]) is
  'The median absolute deviation, as the standard deviation that it would be of a normal distribution.';

-- A deployment that doubles a duration is no growth.
create function scheduler.step_behind(p_values float8[], p_line_deviation float8) returns integer
language sql immutable set search_path = '' as $$
  with ranked as (
    select place, rank() over (order by value) + (count(*) over (partition by value) - 1) / 2.0::float8 as rank
    from unnest(p_values) with ordinality as points (value, place)
  ), splits as (
    -- How far the ranks on one side are from what they would be, were their order chance (Pettitt 1979).
    select place::integer, abs(2 * sum(rank) over (order by place) - place * (days + 1))
      / sqrt(place * nullif(days - place, 0)) as unlike
    from ranked, (select cardinality(p_values) as days) as counted
  ), farthest as (
    select place from splits where place between 3 and cardinality(p_values) - 3 order by unlike desc, place limit 1
  )
  select place from farthest
  where scheduler.deviation(p_values[:place]) + scheduler.deviation(p_values[place + 1:]) < p_line_deviation;
$$;
comment on function scheduler.step_behind(float8[], float8) is
  'Behind how many values a step lies, where one level before and another after it explain them better than a line '
    'whose deviation is given; null where none does.';

create function scheduler.trend_of(p_days date[], p_values float8[], p_today date) returns scheduler.trend
language plpgsql immutable set search_path = '' as $$
declare
  v_days integer[] := array(select day - p_today from unnest(p_days) as day);
  v_values float8[] := p_values;
  v_line scheduler.line;
  v_left float8[];
  v_step integer;
begin
  loop
    if coalesce(cardinality(v_days), 0) < 14 then
      return null;
    end if;
    v_line := scheduler.theil_sen(array(select day + 100000 from unnest(v_days) as day), v_values);
    if coalesce(abs(v_line.z), 0) < 3.5 then
      v_line := row(v_line.z, null, null, null);
    end if;
    v_left := scheduler.remainders(v_days, v_values, coalesce(v_line.slope, 0));
    v_step := case when v_line.slope is not null
      then scheduler.step_behind(v_values, scheduler.deviation(v_left)) end;
    exit when v_step is null;
    v_days := v_days[v_step + 1:];
    v_values := v_values[v_step + 1:];
  end loop;
  return row(cardinality(v_days), p_today + v_days[1], p_today + v_days[cardinality(v_days)],
    -- Without a trend what counts is the newest fortnight.
    scheduler.median(case when v_line.slope is null then v_left[cardinality(v_left) - 13:] else v_left end),
    v_line.slope, v_line.slope_least, v_line.slope_most, scheduler.spread(v_left))::scheduler.trend;
end;
$$;
comment on function scheduler.trend_of(date[], float8[], date) is
  'How a figure stands and moves, by its value on each day, ascending. What lies before a step is left out. A trend is '
    'proven by 3.5 standard deviations: chance makes one of 2,000. Null of fewer than 14 days.';

create function scheduler.percentile_ms(p_counts integer[], p_share float8, p_shortest integer, p_longest integer)
returns float8
language plpgsql immutable set search_path = '' as $$
declare
  v_whole bigint := 0;
  v_below bigint := 0;
  v_place integer := array_lower(p_counts, 1);
  v_runs integer;
begin
  -- Loops over the array: with a row a place it takes five times as long.
  foreach v_runs in array p_counts loop
    v_whole := v_whole + coalesce(v_runs, 0);
  end loop;
  foreach v_runs in array p_counts loop
    v_below := v_below + coalesce(v_runs, 0);
    if v_below > 0 and v_below >= p_share * v_whole then
      return greatest(p_shortest, least(p_longest, scheduler.place_ms(v_place)));
    end if;
    v_place := v_place + 1;
  end loop;
  return null;
end;
$$;
comment on function scheduler.percentile_ms(integer[], float8, integer, integer) is
  'The duration that so large a share of the runs does not exceed, by a histogram of job_days: at most 2.5 % off. Null '
    'of none.';

create type scheduler.arrival as (on_day date, earliest date, latest date);
comment on type scheduler.arrival is 'The day on which a line reaches a limit, and its interval; latest null: ten '
  'years or more.';

create function scheduler.arrival_of(p_trend scheduler.trend, p_limit float8, p_today date) returns scheduler.arrival
language plpgsql immutable set search_path = '' as $$
declare
  v_to_go constant float8 := p_limit - p_trend.level;
  -- Half of the days lie behind and half before the middle of them, on which the lines of the interval turn.
  v_middle constant float8 := (p_trend.last_day - p_today + p_trend.first_day - p_today) / 2.0;
  v_doubt constant float8 := 2.45 * p_trend.spread / sqrt(p_trend.days);
  v_pivot constant float8 := p_limit - (p_trend.level + p_trend.slope * v_middle);
  v_on float8;
  v_latest float8;
begin
  if p_trend.slope is null or p_trend.slope <= 0 or v_to_go <= 0 then
    return null;
  end if;
  v_on := v_to_go / p_trend.slope;
  -- Three times as far ahead as the days reach back, and no further.
  if v_on > least(730, 3 * (p_trend.last_day - p_trend.first_day + 1)) then
    return null;
  end if;
  v_latest := case when p_trend.slope_least > 0 then v_middle + (v_pivot + v_doubt) / p_trend.slope_least end;
  return row(p_today + ceil(v_on)::integer,
    p_today + greatest(0, floor(v_middle + (v_pivot - v_doubt) / p_trend.slope_most))::integer,
    case when v_latest < 3650 then p_today + ceil(v_latest)::integer end)::scheduler.arrival;
end;
$$;
comment on function scheduler.arrival_of(scheduler.trend, float8, date) is
  'When a figure that rises reaches a limit: null when it does not rise, is there already, or gets there further ahead '
    'than three times the days that the trend was found in, or two years.';

create function scheduler.has_reached(p_trend scheduler.trend, p_limit float8) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  return p_trend.level
    -- The median of a fortnight is in doubt; of a trend that is proven all days say where it is.
    - case when p_trend.slope is null then 2.45 * p_trend.spread / sqrt(14) else 0 end
    -- A run that was stopped at its limit is told at most 2.5 % below it.
    >= 0.975 * p_limit;
end;
$$;
comment on function scheduler.has_reached(scheduler.trend, float8) is
  'Whether a figure is at a limit already: surely so, where there is no trend. Null of no trend at all.';

create function scheduler.usual_a_day(p_days date[], p_values float8[]) returns float8
language sql immutable set search_path = '' as $$
  select avg(usual) from (
    select percentile_cont(0.5) within group (order by value) as usual
    from unnest(p_days, p_values) as points (day, value) group by extract(isodow from day)) as weekdays;
$$;
comment on function scheduler.usual_a_day(date[], float8[]) is
  'What a day usually has: the median of each weekday, and their average.';

create type scheduler.share as (share float8, least float8, most float8);
comment on type scheduler.share is 'A share, with its 99 % interval.';

create function scheduler.share_of(p_part float8, p_whole float8) returns scheduler.share
language sql immutable set search_path = '' as $$
  select row(p_part / p_whole, (middle - reach) / width, (middle + reach) / width)::scheduler.share
  from (
    select p_part / p_whole + z2 / 2 / p_whole as middle, 1 + z2 / p_whole as width,
      sqrt(z2 * (p_part / p_whole * (1 - p_part / p_whole) / p_whole + z2 / 4 / p_whole / p_whole)) as reach
    from (values (2.576::float8 * 2.576)) as normal (z2)) as wilson
  where p_whole > 0;
$$;
comment on function scheduler.share_of(float8, float8) is
  'How large a share some are of all, with its 99 % interval (Wilson 1927); null of none.';

create function scheduler.share_without_worst_day(p_part float8[], p_whole float8[]) returns scheduler.share
language sql immutable set search_path = '' as $$
  select scheduler.share_of(sum(part), sum(whole))
  from (
    select *, row_number() over (order by part - whole * usual desc) as place
    from (
      select *, sum(part) over () / sum(whole) over () as usual
      from unnest(p_part, p_whole) as days (part, whole) where whole > 0) as days) as ranked
  where place > 1;
$$;
comment on function scheduler.share_without_worst_day(float8[], float8[]) is
  'How large a share some were of all on these days, without the day that has most above its share: an incident of one '
    'day is no change.';

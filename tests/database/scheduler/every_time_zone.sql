-- What a clock shows in each zone that Postgres knows, 2020 to 2040, found by asking for single moments and nothing else:
-- independent of the time engine.
create schema zone_test;

create function zone_test.utc_offset(p_zone text, p_at timestamptz) returns interval language sql immutable as $$
  select (p_at at time zone p_zone) - (p_at at time zone 'UTC')
$$;

create type zone_test.expected_minute as (local timestamp, at timestamptz);

create table zone_test.zones as
select name as zone, zone_test.utc_offset(name, '2019-12-25T00:00Z') as first_offset from pg_timezone_names;

-- Every change of every zone, to the minute: its day, then its hour, then its minute.
create table zone_test.changes as
with days as materialized (
  select at, at at time zone 'UTC' as utc
  from generate_series(timestamptz '2019-12-25T00:00Z', '2041-01-07T00:00Z', interval '1 day') as at
)
select zone, day.offset_before, day.offset_after, (
    select min(minute) from generate_series(hour - interval '59 minutes', hour, interval '1 minute') as minute
    where zone_test.utc_offset(zone, minute) = day.offset_after) as at
from zone_test.zones, lateral (
  select at, utc_offset as offset_after, lag(utc_offset) over (order by at) as offset_before
  from (select at, (at at time zone zone) - utc as utc_offset from days) as offsets
) as day, lateral (
  select min(hour) as hour from generate_series(day.at - interval '23 hours', day.at, interval '1 hour') as hour
  where zone_test.utc_offset(zone, hour) = day.offset_after
) as first_hour
where day.offset_before <> day.offset_after;

-- What happens round a change depends on nothing but its moment and the offsets on both sides, where the zone has no
-- other change within four days: so one zone stands for all that share it.
create table zone_test.distinct_changes as
select at, offset_before, offset_after, min(zone) as zone, count(*) as zones,
  row_number() over (partition by offset_before, offset_after, (at at time zone min(zone))::time order by at) as nth
from zone_test.changes
group by at, offset_before, offset_after;

-- The minutes of the dates round a change, each with the moment at which a daily job of that minute must run: the
-- first at which a clock shows it; where none does, the change.
create function zone_test.expected(p_zone text, p_change timestamptz) returns table (local timestamp, at timestamptz)
language sql stable as $$
  with shown as (
    select at at time zone p_zone as local, min(at) as at
    from generate_series(p_change - interval '52 hours', p_change + interval '52 hours', interval '1 minute') as at
    group by 1
  )
  select minute, coalesce(shown.at, p_change)
  from generate_series(
      date_trunc('day', (p_change - interval '1 minute') at time zone p_zone) - interval '1 day',
      date_trunc('day', p_change at time zone p_zone) + interval '2 days' - interval '1 minute', interval '1 minute') as minute
    left join shown on shown.local = minute
$$;

-- Both schedules together name all 1,440 minutes; neither covers 24 hours, which would follow the real clock.
create function zone_test.wrong_minutes(p_zone text, p_change timestamptz) returns table (problem text) language plpgsql stable as $$
declare
  v_expected zone_test.expected_minute[];
  v_hours text;
begin
  v_expected := array(select (local, at)::zone_test.expected_minute from zone_test.expected(p_zone, p_change) order by local);
  if exists (select from unnest(v_expected) group by local::date having count(*) <> 1440) then
    return query select format('%s %s: a date has not 1,440 minutes', p_zone, p_change);
  end if;
  foreach v_hours in array array['0-22', '23'] loop
    return query
    select format('%s %s: minute %s of schedule * %s', p_zone, p_change, coalesce(wanted.at, found.at), v_hours)
    from (
      select distinct at from unnest(v_expected) as minute
      where extract(hour from local) between split_part(v_hours, '-', 1)::integer and split_part(v_hours, '-', -1)::integer
    ) as wanted full join (
      select at from scheduler.occurrences(format('* %s * * *', v_hours), p_zone,
        v_expected[1].at, v_expected[cardinality(v_expected)].at + interval '1 minute') as at
    ) as found on found.at = wanted.at
    where found.at is null or wanted.at is null;
  end loop;
end;
$$;

-- A daily job of one minute, walked over the dates round a change: from each run to the next.
create function zone_test.wrong_walks(p_zone text, p_change timestamptz, p_all_minutes boolean) returns table (problem text)
language sql stable as $$
  with expected as materialized (
    select local, at from zone_test.expected(p_zone, p_change)
  ), changed as (
    -- The minutes that the clock skips, or shows twice.
    select distinct local::time as of_day
    from expected
    where local >= least((p_change - interval '1 minute') at time zone p_zone + interval '1 minute', p_change at time zone p_zone)
      and local < greatest((p_change - interval '1 minute') at time zone p_zone + interval '1 minute', p_change at time zone p_zone)
  ), chosen as (
    select of_day from changed
    where p_all_minutes or of_day in ((select min(of_day) from changed), (select max(of_day) from changed), time '23:59')
  ), walked as (
    select of_day, expected.at, lead(expected.at) over (partition by of_day order by expected.local) as next
    from chosen join expected on expected.local::time = of_day
  )
  select format('%s: after %s the daily run of %s must come at %s', p_zone, at, of_day, next)
  from walked
  where next is not null and next is distinct from scheduler.next_occurrence(
    format('%s %s * * *', extract(minute from of_day), extract(hour from of_day)), p_zone, at)
$$;

-- A zone's occurrences depend on nothing but its offsets: so one zone stands for all that never differ in these years.
create table zone_test.distinct_zones as
select min(zone) as zone
from (
  select zone, first_offset, array(
    select row(at, offset_after)::text from zone_test.changes where changes.zone = zones.zone order by at) as history
  from zone_test.zones
) as histories
group by first_offset, history;

-- A run for each of these local dates, in order, at the minute that it names (away from changes). The dates are all that
-- the day fields match from p_first to p_last.
create function zone_test.wrong_dates(
  p_zone text, p_minute integer, p_days text, p_dates date[], p_first timestamp, p_last timestamp
)
returns table (problem text) language sql stable as $$
  with runs as (
    select at, row_number() over (order by at) as nth
    from scheduler.occurrences(format('%s %s %s', p_minute % 60, p_minute / 60, p_days), p_zone,
      (p_first at time zone 'UTC') - zone_test.utc_offset(p_zone, p_first at time zone 'UTC'),
      (p_last at time zone 'UTC') - zone_test.utc_offset(p_zone, p_last at time zone 'UTC')) as at
  ), dates as (
    select day::timestamp as day, nth from unnest(p_dates) with ordinality as dates (day, nth)
  )
  select format('%s minute %s days %s: the date %s runs at %s', p_zone, p_minute, p_days, day, at)
  from runs full join dates using (nth)
  where at is null or day is null
    or at at time zone p_zone <> day + make_interval(mins => p_minute) and not exists (
      select from zone_test.changes
      where changes.zone = p_zone and changes.at = runs.at and offset_after > offset_before
        and day + make_interval(mins => p_minute) >= at at time zone 'UTC' + offset_before
        and day + make_interval(mins => p_minute) < at at time zone 'UTC' + offset_after)
$$;

-- A daily run, for whole years.
create function zone_test.wrong_years(p_zone text, p_minute integer, p_first_year integer default 2020, p_last_year integer default 2040)
returns table (problem text) language sql stable as $$
  select wrong.problem
  from (
    select make_timestamp(p_first_year, 1, 1, 0, 0, 0) as first, make_timestamp(p_last_year + 1, 1, 1, 0, 0, 0) as last
  ) as bounds, zone_test.wrong_dates(p_zone, p_minute, '* * *', array(
    select day::date from generate_series(first, last - interval '1 day', interval '1 day') as day order by day), first, last) as wrong
$$;

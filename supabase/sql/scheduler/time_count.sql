-- Counts the occurrences of a long stretch of time and lists its newest. Listing half a million minutes after an outage
-- to count them would be slow.

create function scheduler.count_matching_days(p_parsed scheduler.parsed_schedule, p_from date, p_to date) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  if scheduler.is_every_date(p_parsed) then
    return greatest(p_to - p_from, 0);
  end if;
  return (
    select count(*) from scheduler.matching_dates(p_parsed, p_from, p_to::timestamp - interval '1 day'));
end;
$$;
comment on function scheduler.count_matching_days(scheduler.parsed_schedule, date, date) is
  'How many dates in [p_from, p_to) the month and day fields match.';

create function scheduler.count_times(p_parsed scheduler.parsed_schedule, p_from timestamp,
  p_to timestamp) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return scheduler.count_matching_days(p_parsed, p_from::date, p_from::date + 1) * (
    select count(*) from unnest(p_parsed.hours) as hour, unnest(p_parsed.minutes) as minute
    where p_from::date + make_interval(hours => hour, mins => minute) >= p_from
      and p_from::date + make_interval(hours => hour, mins => minute) < p_to);
end;
$$;
comment on function scheduler.count_times(scheduler.parsed_schedule, timestamp, timestamp) is
  'How many local times of the date of p_from the schedule names in [p_from, p_to), on a date on which the clock does '
    'not change after p_from.';

-- Between two changes of the clock every whole local day has the same times; only the hours after a change are
-- listed.
create function scheduler.count_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz
) returns bigint
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed constant scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_count bigint := 0;
  v_period record;
  v_listed_to timestamptz;
  v_from timestamp;
  v_to timestamp;
begin
  if v_parsed.interval_seconds is not null then
    perform scheduler.require_time_zone(p_time_zone);
    return scheduler.count_grid(v_parsed.interval_seconds, p_from, p_to);
  end if;
  for v_period in select starts_at, ends_at from scheduler.offset_periods(p_time_zone, p_from, p_to) loop
    -- No clock shows more than three hours twice.
    v_listed_to := least(v_period.ends_at, v_period.starts_at + interval '3 hours');
    v_count := v_count + (
      select count(*) from scheduler.occurrences(p_schedule, p_time_zone, v_period.starts_at, v_listed_to));
    continue when v_listed_to = v_period.ends_at;
    v_from := v_listed_to at time zone p_time_zone;
    v_to := v_from + (v_period.ends_at - v_listed_to);
    v_count := v_count + case when v_from::date = v_to::date then scheduler.count_times(v_parsed, v_from, v_to) else
      scheduler.count_times(v_parsed, v_from, v_from::date + 1)
      + scheduler.count_matching_days(v_parsed, v_from::date + 1,
        v_to::date) * cardinality(v_parsed.hours) * cardinality(v_parsed.minutes)
      + scheduler.count_times(v_parsed, v_to::date, v_to) end;
  end loop;
  return v_count;
end;
$$;
comment on function scheduler.count_occurrences(text, text, timestamptz, timestamptz) is
  'How many occurrences lie in [p_from, p_to): what occurrences() would list, without listing them. Raises 22023 for '
    'a schedule or a time zone that cannot be read.';

create function scheduler.newest_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz, p_limit integer
) returns timestamptz[]
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_span interval := interval '1 hour';
  v_from timestamptz;
  v_found timestamptz[];
begin
  -- Stretches that grow backwards: a job of every minute has enough in a day, a yearly one needs them all.
  loop
    v_from := greatest(p_from, p_to - v_span);
    v_found := array(select at from scheduler.occurrences(p_schedule, p_time_zone, v_from, p_to) as at order by at);
    exit when v_from = p_from or cardinality(v_found) >= p_limit;
    v_span := 8 * v_span;
  end loop;
  return v_found[greatest(1, cardinality(v_found) - p_limit + 1):];
end;
$$;
comment on function scheduler.newest_occurrences(text, text, timestamptz, timestamptz, integer) is
  'The newest p_limit occurrences in [p_from, p_to), ascending; all of them when there are no more. Raises 22023 for '
    'a schedule or a time zone that cannot be read.';

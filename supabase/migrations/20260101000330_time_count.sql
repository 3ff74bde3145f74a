-- How many occurrences lie in a long stretch of time, and which are its newest: after an outage nobody wants to list
-- half a million minutes to count them.

create or replace function scheduler.matching_days(p_parsed scheduler.parsed_schedule, p_from date, p_to date) returns bigint
language sql immutable parallel safe set search_path = '' as $$
  select count(*)
  from generate_series(p_from::timestamp, p_to::timestamp - interval '1 day', interval '1 day') as day
  where extract(month from day)::integer = any (p_parsed.months)
    and case when p_parsed.days_must_both_match
      then extract(day from day)::integer = any (p_parsed.days_of_month) and extract(dow from day)::integer = any (p_parsed.days_of_week)
      else extract(day from day)::integer = any (p_parsed.days_of_month) or extract(dow from day)::integer = any (p_parsed.days_of_week)
    end;
$$;
comment on function scheduler.matching_days(scheduler.parsed_schedule, date, date) is
  'How many dates in [p_from, p_to) the month and day fields match.';

-- Between two changes of the clock every whole local day has the same times; only its ends have to be listed.
create or replace function scheduler.count_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz
) returns bigint
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_count bigint := 0;
  v_period record;
  v_first_day date;
  v_last_day date;
begin
  if p_to - p_from <= interval '3 days' then
    return (select count(*) from scheduler.occurrences(p_schedule, p_time_zone, p_from, p_to));
  end if;
  for v_period in select starts_at, ends_at from scheduler.offset_periods(p_time_zone, p_from, p_to) loop
    v_first_day := (v_period.starts_at at time zone p_time_zone)::date + 1;
    v_last_day := (v_period.ends_at - interval '1 microsecond') at time zone p_time_zone;
    if v_last_day <= v_first_day then
      v_count := v_count + (select count(*)
        from scheduler.occurrences(p_schedule, p_time_zone, v_period.starts_at, v_period.ends_at));
      continue;
    end if;
    v_count := v_count
      + (select count(*) from scheduler.occurrences(p_schedule, p_time_zone,
          v_period.starts_at, scheduler.first_showing(v_first_day, p_time_zone)))
      + scheduler.matching_days(v_parsed, v_first_day, v_last_day)
        * cardinality(v_parsed.hours) * cardinality(v_parsed.minutes)
      + (select count(*) from scheduler.occurrences(p_schedule, p_time_zone,
          scheduler.first_showing(v_last_day, p_time_zone), v_period.ends_at));
  end loop;
  return v_count;
end;
$$;
comment on function scheduler.count_occurrences(text, text, timestamptz, timestamptz) is
  'How many occurrences lie in [p_from, p_to): what occurrences() would list, without listing them. Raises 22023 for a schedule or a time zone that cannot be read.';

create or replace function scheduler.newest_occurrences(
  p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz, p_limit integer
) returns timestamptz[]
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_span interval := '1 hour';
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
  'The newest p_limit occurrences in [p_from, p_to), ascending; all of them when there are no more. Raises 22023 for a schedule or a time zone that cannot be read.';

revoke all on function
  scheduler.matching_days(scheduler.parsed_schedule, date, date),
  scheduler.count_occurrences(text, text, timestamptz, timestamptz),
  scheduler.newest_occurrences(text, text, timestamptz, timestamptz, integer)
from public, anon, authenticated, service_role;

-- When a schedule runs. Two kinds of schedule, told apart by the hour field:
--   * it covers all 24 hours: the real clock is followed. Each minute whose local time matches is an occurrence, so
--     a repeated hour counts twice and a skipped hour not at all.
--   * else each matching local time is one occurrence: skipped by the spring change, it falls on the first minute after
--     the gap (and is one with an occurrence that is there already); repeated in autumn, it is its first showing.
-- Changes of the clock lie on whole minutes, and a zone has at most one in 24 hours: so it has been since 1973.

-- Postgres' own `at time zone` takes the second showing of a repeated time, and moves a skipped one on by the gap.
create function scheduler.first_showing(p_local timestamp, p_time_zone text) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_shown timestamptz := p_local at time zone p_time_zone;
  v_day_before timestamptz := v_shown - interval '25 hours';
  v_earlier timestamptz :=
    (p_local - ((v_day_before at time zone p_time_zone) - (v_day_before at time zone 'UTC'))) at time zone 'UTC';
  v_offset interval;
  v_low timestamptz;
  v_middle timestamptz;
begin
  if v_shown at time zone p_time_zone = p_local then
    return case when v_earlier < v_shown and v_earlier at time zone p_time_zone = p_local then v_earlier
      else v_shown end;
  end if;

  -- In a gap: v_shown lies after its end, v_low before it.
  v_offset := (v_shown at time zone p_time_zone) - (v_shown at time zone 'UTC');
  v_low := (p_local - v_offset) at time zone 'UTC';
  while v_shown - v_low > interval '1 minute' loop
    v_middle := v_low + make_interval(mins => floor(extract(epoch from v_shown - v_low) / 120)::integer);
    if (v_middle at time zone p_time_zone) - (v_middle at time zone 'UTC') = v_offset then
      v_shown := v_middle;
    else
      v_low := v_middle;
    end if;
  end loop;
  return v_shown;
end;
$$;
comment on function scheduler.first_showing(timestamp, text) is
  'When a clock in the zone first shows a local time; for a time it skips, the first minute after the gap.';

create function scheduler.next_real_clock_occurrence(
  p_parsed scheduler.parsed_schedule,
  p_time_zone text,
  p_after timestamptz
) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_at timestamptz := date_bin('1 minute', p_after, timestamptz 'epoch') + interval '1 minute';
  v_local timestamp;
  v_date date;
  v_start timestamptz;
  v_minute integer;
  v_wait interval;
begin
  while v_at is not null loop
    v_local := v_at at time zone p_time_zone;
    v_date := scheduler.next_matching_date(p_parsed, v_local::date);
    if v_date is null then
      v_at := null;
      continue;
    elsif v_date > v_local::date then
      v_start := scheduler.first_showing(v_date, p_time_zone);
      -- A change just after midnight shows the start of the date twice; the first may be over.
      v_at := case when v_start > v_at then v_start else v_date::timestamp at time zone p_time_zone end;
      continue;
    end if;

    v_minute := extract(minute from v_local)::integer;
    if v_minute = any (p_parsed.minutes) then
      return v_at;
    end if;
    v_wait := make_interval(mins => (select min((minute - v_minute + 60) % 60)
      from unnest(p_parsed.minutes) as minute));
    if (v_at + v_wait) at time zone p_time_zone = v_local + v_wait then
      v_at := v_at + v_wait;
    else
      v_at := v_at + interval '1 minute';  -- the clock changes in between
    end if;
  end loop;
  return null;
end;
$$;
comment on function scheduler.next_real_clock_occurrence(scheduler.parsed_schedule, text, timestamptz) is
  'The first minute strictly after p_after whose local time matches, of a schedule that covers all 24 hours; null '
    'when there is none.';

create function scheduler.next_occurrence(p_schedule text, p_time_zone text, p_after timestamptz) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_local timestamp;
  v_date date;
  v_hour integer;
  v_minute integer;
  v_occurrence timestamptz;
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_after is null or not isfinite(p_after) then
    raise exception using errcode = '22023',
      message = format('cannot find the next occurrence: p_after must be a moment, got %s',
        coalesce(p_after::text, 'null'));
  end if;
  if v_parsed.interval_seconds is not null then
    return scheduler.moment_of_grid(v_parsed.interval_seconds, p_after, 1);
  end if;
  if v_parsed.follows_real_clock then
    return scheduler.next_real_clock_occurrence(v_parsed, p_time_zone, p_after);
  end if;

  v_local := p_after at time zone p_time_zone;
  v_date := scheduler.next_matching_date(v_parsed, v_local::date);
  if v_date = v_local::date then
    v_hour := extract(hour from v_local)::integer;
    v_minute := extract(minute from v_local)::integer;
  end if;
  while v_date is not null loop
    -- On to the next local time that the schedule names.
    if v_hour is not null then
      v_minute := case when v_hour = any (v_parsed.hours)
        then (select min(minute) from unnest(v_parsed.minutes) as minute where minute > v_minute) end;
      if v_minute is null then
        v_hour := (select min(hour) from unnest(v_parsed.hours) as hour where hour > v_hour);
        v_minute := v_parsed.minutes[1];
      end if;
      if v_hour is null then
        v_date := scheduler.next_matching_date(v_parsed, v_date + 1);
        continue when v_date is null;
      end if;
    end if;
    if v_hour is null then
      v_hour := v_parsed.hours[1];
      v_minute := v_parsed.minutes[1];
    end if;

    -- In the second showing of an autumn hour the times of its first are over.
    v_occurrence := scheduler.first_showing(v_date + make_time(v_hour, v_minute, 0), p_time_zone);
    if v_occurrence > p_after then
      return v_occurrence;
    end if;
  end loop;
  return null;
end;
$$;
comment on function scheduler.next_occurrence(text, text, timestamptz) is
  'The first occurrence strictly after p_after, in the IANA time zone given; null when the schedule never occurs (30 '
    'February). Raises 22023 for a schedule or a time zone that cannot be read.';

create function scheduler.offset_periods(p_time_zone text, p_from timestamptz, p_to timestamptz)
returns table (starts_at timestamptz, ends_at timestamptz, utc_offset interval, offset_before interval)
language sql stable parallel safe set search_path = '' rows 50 as $$
  with days as (
    select at, (at at time zone p_time_zone) - (at at time zone 'UTC') as utc_offset
    from (
      select generate_series(date_bin('1 minute', p_from, timestamptz 'epoch'), p_to,
        case p_time_zone when 'UTC' then interval '1000 years' else interval '24 hours' end) as at
      union all select p_to
    ) as moments
  ), steps as (
    select lag(at) over in_time as from_at, at as to_at, lag(utc_offset) over in_time as offset_before, utc_offset
    from days window in_time as (order by at)
  ), hours as (
    select coalesce(hour.at, steps.to_at) as to_at, offset_before, utc_offset
    from steps left join lateral (
      select at from generate_series(steps.from_at, steps.to_at, interval '1 hour') as at
      where (at at time zone p_time_zone) - (at at time zone 'UTC') = steps.utc_offset order by at limit 1
    ) as hour on true
    where steps.offset_before <> steps.utc_offset
  ), changes as (
    select minute.at, offset_before, utc_offset
    from hours, lateral (
      select at from generate_series(date_bin('1 minute', hours.to_at, timestamptz 'epoch') - interval '1 hour',
        hours.to_at + interval '1 minute', interval '1 minute') as at
      where (at at time zone p_time_zone) - (at at time zone 'UTC') = hours.utc_offset order by at limit 1
    ) as minute
    where minute.at < p_to
    union all
    select p_from, null, (p_from at time zone p_time_zone) - (p_from at time zone 'UTC')
  )
  select at, lead(at, 1, p_to) over (order by at), utc_offset, offset_before from changes order by at
$$;
comment on function scheduler.offset_periods(text, timestamptz, timestamptz) is
  'The stretches of [p_from, p_to) in which a zone keeps one offset from UTC, with the offset before each (null for '
    'the first).';

create function scheduler.local_stretches(
  p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz, p_to timestamptz
) returns table (local_from timestamp, local_to timestamp, utc_offset interval, falls_on timestamptz)
language plpgsql stable parallel safe set search_path = '' rows 50 as $$
begin
  return query
  with periods as (
    select starts_at, kept.utc_offset, ends_at at time zone 'UTC' + kept.utc_offset as ends_local,
      starts_at at time zone 'UTC' + case when p_parsed.follows_real_clock then kept.utc_offset
        else greatest(kept.utc_offset, offset_before) end as starts_local,
      case when kept.utc_offset > offset_before and not p_parsed.follows_real_clock
        then starts_at at time zone 'UTC' + offset_before end as gap_from
    -- From a day earlier: p_from may lie in an hour that is shown for the second time.
    from scheduler.offset_periods(p_time_zone, p_from - interval '26 hours', p_to) as kept
  )
  select starts_local, ends_local, periods.utc_offset, null::timestamptz from periods
  union all
  select gap_from, starts_local, null, starts_at from periods where gap_from is not null;
end;
$$;
comment on function scheduler.local_stretches(scheduler.parsed_schedule, text, timestamptz, timestamptz) is
  'The stretches of local time in which the times of a schedule run, from 26 hours before p_from to p_to: with one '
    'offset from UTC, or, for times that a change of the clock skips, with the moment at which they run (falls_on).';

create function scheduler.occurrences(p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz)
returns setof timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_from is null or p_to is null or not isfinite(p_from) or not isfinite(p_to) then
    raise exception using errcode = '22023',
      message = format('cannot list occurrences: p_from and p_to must be moments, got %s and %s',
        coalesce(p_from::text, 'null'), coalesce(p_to::text, 'null'));
  end if;
  if p_from >= p_to then
    return;
  end if;
  if v_parsed.interval_seconds is not null then
    return query select at from generate_series(
      scheduler.moment_of_grid(v_parsed.interval_seconds, p_from - interval '1 microsecond', 1),
      p_to - interval '1 microsecond', make_interval(secs => v_parsed.interval_seconds)) as at;
    return;
  end if;

  return query
  -- Materialized: without it the times of day are made again for each date, and nine days of every minute take 48 ms
  -- instead of 38.
  with times as materialized (
    select make_interval(hours => hour, mins => minute) as of_day
    from unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute
  ), found as (
    select coalesce(falls_on, (day + of_day - utc_offset) at time zone 'UTC') as at
    from scheduler.local_stretches(v_parsed, p_time_zone, p_from, p_to),
      lateral scheduler.matching_dates(v_parsed, local_from, local_to), times
    where day + of_day >= local_from and day + of_day < local_to
  )
  select distinct at from found where at >= p_from and at < p_to order by at;
end;
$$;
comment on function scheduler.occurrences(text, text, timestamptz, timestamptz) is
  'The occurrences of a schedule in [p_from, p_to), ascending, in the IANA time zone given. Raises 22023 for a '
    'schedule or a time zone that cannot be read.';

create function scheduler.previous_occurrence(p_schedule text, p_time_zone text,
  p_before timestamptz) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_after_end timestamptz := p_before + interval '1 microsecond';
  v_date date;
  v_span integer;
  v_occurrence timestamptz;
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_before is null or not isfinite(p_before) then
    raise exception using errcode = '22023',
      message = format('cannot find the previous occurrence: p_before must be a moment, got %s',
        coalesce(p_before::text, 'null'));
  end if;
  if v_parsed.interval_seconds is not null then
    return scheduler.moment_of_grid(v_parsed.interval_seconds, p_before, 0);
  end if;

  select max(at) into v_occurrence
    from scheduler.occurrences(p_schedule, p_time_zone, p_before - interval '2 hours', v_after_end) as at;
  if v_occurrence is not null then
    return v_occurrence;
  end if;

  -- The latest matching dates, found in ever longer spans; an occurrence falls on its own date or, after a gap, the
  -- next.
  foreach v_span in array array[3, 40, 400, 3300, 15000] loop
    for v_date in
      select day from scheduler.matching_dates(v_parsed, (p_before at time zone p_time_zone)::date + 1 - v_span,
        (p_before at time zone p_time_zone)::date + 1)
      order by day desc limit 3
    loop
      select max(at) into v_occurrence
        from scheduler.occurrences(p_schedule, p_time_zone, v_date::timestamp at time zone 'UTC' - interval '26 hours',
          least(v_after_end, v_date::timestamp at time zone 'UTC' + interval '62 hours')) as at;
      if v_occurrence is not null then
        return v_occurrence;
      end if;
    end loop;
  end loop;
  return null;
end;
$$;
comment on function scheduler.previous_occurrence(text, text, timestamptz) is
  'The last occurrence at or before p_before, in the IANA time zone given; null when there is none in the 40 years '
    'before. Raises 22023 for a schedule or a time zone that cannot be read.';

create function scheduler.shown_time_zone(p_time_zone text) returns text
language plpgsql stable set search_path = '' as $$
begin
  perform timestamptz 'epoch' at time zone p_time_zone;
  return coalesce(p_time_zone, 'UTC');
exception when invalid_parameter_value then
  return 'UTC';
end;
$$;
comment on function scheduler.shown_time_zone(text) is
  'The time zone in which times are shown: the one given, UTC where Postgres does not know it (a restored dump, a '
    'zone that was dropped).';

create function scheduler.local_text(p_at timestamptz, p_time_zone text) returns text
language sql stable set search_path = '' as $$
  select coalesce(to_char(p_at at time zone zone, 'YYYY-MM-DD HH24:MI') || ' ' || zone, p_at::text)
  from (select scheduler.shown_time_zone(p_time_zone) as zone) as shown;
$$;
comment on function scheduler.local_text(timestamptz, text) is
  'A moment as a person of that zone reads it, in UTC where Postgres does not know the zone; infinity and -infinity '
    'as they are. Null for null.';

create function scheduler.local_second_text(p_at timestamptz, p_time_zone text) returns text
language sql stable set search_path = '' as $$
  select coalesce(to_char(p_at at time zone zone, 'YYYY-MM-DD HH24:MI:SS') || ' ' || zone, p_at::text)
  from (select scheduler.shown_time_zone(p_time_zone) as zone) as shown;
$$;
comment on function scheduler.local_second_text(timestamptz, text) is 'local_text with the seconds.';

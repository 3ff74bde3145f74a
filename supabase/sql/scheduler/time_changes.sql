-- The changes of a zone's clock that a schedule meets.

create function scheduler.clock_changes(p_schedule text, p_time_zone text, p_from timestamptz, p_to timestamptz)
returns table (changes_at timestamptz, change text, first_time timestamp, last_time timestamp, times bigint,
  follows_real_clock boolean)
language plpgsql stable set search_path = '' as $$
declare
  v_parsed scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
begin
  perform scheduler.require_time_zone(p_time_zone);
  if v_parsed.interval_seconds is not null then
    return;  -- on a grid from the epoch, whatever a clock shows
  end if;
  return query
  with moves as (
    select starts_at, case when utc_offset > offset_before then 'skipped' else 'repeated' end as becomes,
      starts_at at time zone 'UTC' + least(utc_offset, offset_before) as local_from,
      starts_at at time zone 'UTC' + greatest(utc_offset, offset_before) as local_to
    from scheduler.offset_periods(p_time_zone, p_from, p_to) where utc_offset <> offset_before
  ), met as (
    select starts_at, becomes, day + make_interval(hours => hour, mins => minute) as local_time, local_from, local_to
    from moves, lateral scheduler.matching_dates(v_parsed, local_from, local_to),
      unnest(v_parsed.hours) as hour, unnest(v_parsed.minutes) as minute
  )
  select starts_at, becomes, min(local_time), max(local_time), count(*), v_parsed.follows_real_clock
  from met where local_time >= local_from and local_time < local_to
  group by starts_at, becomes order by starts_at;
end;
$$;
comment on function scheduler.clock_changes(text, text, timestamptz, timestamptz) is
  'The changes of the zone''s clock between two moments that skip or repeat times of the schedule: when, which of the '
    'two, the first and last of those local times and how many they are. Skipped times run once, at changes_at, and '
    'repeated ones at their first showing; a schedule of every hour (follows_real_clock) runs at what the clock shows. '
    'Raises 22023 for a schedule or a time zone that cannot be read.';

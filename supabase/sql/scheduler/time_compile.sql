-- Compiles a schedule in a time zone to one pg_cron entry in UTC, the smallest that covers every occurrence.
-- pg_cron's entry is five independent sets, so the smallest is what the true occurrences need in each field. Written
-- with digits alone, for pg_cron 1.4 as well as later ones.

create function scheduler.format_ranges(p_values integer[]) returns text
language sql immutable parallel safe set search_path = '' as $$
  select string_agg(case when first = last then first::text
    else format('%s%s%s', first, case when last = first + 1 then ',' else '-' end, last) end, ',' order by first)
  from (
    select min(value) as first, max(value) as last
    from (select value, value - row_number() over (order by value) as run from unnest(p_values) as value) as numbered
    group by run
  ) as runs;
$$;
comment on function scheduler.format_ranges(integer[]) is 'Ascending values as a list of values and ranges: 1,3-7.';

create function scheduler.format_step(
  p_from integer, p_to integer, p_step integer, p_first integer, p_last integer, p_star text
) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case
    when p_from = p_to then p_from::text
    when p_from = p_first and p_to + p_step > p_last and p_star <> 'forbidden'
      and (p_to > p_from + p_step or p_first = 0 and (p_last + 1) % p_step = 0) then format('*/%s', p_step)
    when p_to = p_from + p_step then format('%s,%s', p_from, p_to)
    when p_step = 1 then format('%s-%s', p_from, p_to)
    else format('%s-%s/%s', p_from, p_to, p_step)
  end;
$$;
comment on function scheduler.format_step(integer, integer, integer, integer, integer, text) is
  'The short text of every p_step-th value from p_from to p_to in a field from p_first to p_last.';

create function scheduler.format_steps(p_values integer[], p_first integer, p_last integer, p_star text) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_rest integer[] := p_values;
  v_steps text[] := array[]::text[];
  v_start integer;
  v_best record;
begin
  while cardinality(v_rest) > 0 loop
    -- From the smallest value of the rest, the step that takes most of the rest.
    v_start := v_rest[1];
    select step, reach.last, reach.taken into v_best
      from generate_series(1, greatest(p_last - v_start, 1)) as step, lateral (
        select max(value) as last, count(*) filter (where value = any (v_rest)) as taken
        from generate_series(v_start, coalesce((
            select min(missing) - step from generate_series(v_start, p_last + step, step) as missing
            where missing <> all (p_values)), v_start), step) as value
      ) as reach
      order by reach.taken desc, step limit 1;
    if v_best.taken < 2 then
      v_best.last := v_start;
    end if;
    v_steps := v_steps || scheduler.format_step(v_start, v_best.last, v_best.step, p_first, p_last, p_star);
    v_rest := array(select value from unnest(v_rest) as value
      where value > v_best.last or (value - v_start) % v_best.step <> 0 order by value);
  end loop;
  return v_steps;
end;
$$;
comment on function scheduler.format_steps(integer[], integer, integer, text) is
  'Ascending values as steps, the elements of a list: 0-30/10, 45.';

create function scheduler.format_schedule_field(
  p_values integer[], p_first integer, p_last integer, p_star text default 'free'
) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_size constant integer := p_last - p_first + 1;
  v_ranges text;
  v_steps text[];
begin
  if cardinality(p_values) = v_size then
    return case p_star when 'forbidden' then format('%s-%s', p_first, p_last) else '*' end;
  elsif p_star = 'required' and p_values[1] = p_first then
    v_steps := array[scheduler.format_schedule_field(p_values, p_first, p_last)];
    return case
      when v_steps[1] like '*%' then v_steps[1]
      -- A step of the field's whole size names the first value alone, and begins with the star.
      else concat_ws(',', format('*/%s', v_size), nullif(scheduler.format_schedule_field(
        p_values[2:], p_first, p_last, 'forbidden'), '')) end;
  end if;
  v_ranges := scheduler.format_ranges(p_values);
  v_steps := scheduler.format_steps(p_values, p_first, p_last, p_star);
  -- Ranges read better: steps are taken where they are shorter, and each further step has to save two characters.
  return case when length(array_to_string(v_steps, ',')) + 2 * cardinality(v_steps) <= length(v_ranges) + 2
    then array_to_string(v_steps, ',') else v_ranges end;
end;
$$;
comment on function scheduler.format_schedule_field(integer[], integer, integer, text) is
  'The short text of a schedule''s field for ascending values: *, */n, a-b, a-b/n or a list of these. p_star: '
    'forbidden = must not begin with *, required = must (the first value has to be listed), free = either. pg_cron '
    'reads a day field by that sign.';

create type scheduler.utc_values as (
  minutes integer[],
  hours integer[],
  months integer[],
  all_days_of_month integer[],
  all_days_of_week integer[],
  days_of_month integer[],
  days_of_week integer[],
  other_days_of_month integer[],
  other_days_of_week integer[]
);
comment on type scheduler.utc_values is
  'What the occurrences of a schedule need of each field in UTC, ascending. all_days_...: those of any occurrence; '
    'days_of_month, days_of_week: those of the occurrences whose local date matches by that field; other_days_...: '
    'the same, of the occurrences on none of the days that the other field names.';

create function scheduler.compile_days(
  p_needed scheduler.utc_values, p_must_both_match boolean, p_has_signs boolean, p_from date
) returns text[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_every_day constant integer[] := array(select generate_series(1, 31));
  v_every_weekday constant integer[] := array[0, 1, 2, 3, 4, 5, 6];
  -- Which dates a plain day field alone would match is chance here; what signs need is known.
  v_both_restricted constant boolean := (p_must_both_match or p_has_signs) and p_needed.all_days_of_month <> v_every_day
    and p_needed.all_days_of_week <> v_every_weekday;
  v_chosen record;
begin
  with candidates (days_of_month, days_of_week, must_match, starred) as (
    values
      (case when p_needed.all_days_of_month <> v_every_day or p_needed.all_days_of_week = v_every_weekday
        then p_needed.all_days_of_month end, v_every_weekday, true, ''),
      (case when p_needed.all_days_of_week <> v_every_weekday then v_every_day end,
        p_needed.all_days_of_week, true, ''),
      -- Either may match: a field that names every day would be read as one that both must match.
      (case when not p_must_both_match and p_needed.days_of_month not in (v_every_day, '{}')
        and p_needed.days_of_week not in (v_every_weekday, '{}')
        then p_needed.days_of_month end, p_needed.days_of_week, false, ''),
      -- Dates of a sign may all be covered by the other field already.
      (case when p_has_signs and not p_must_both_match and p_needed.other_days_of_month <> '{}'
        and p_needed.days_of_week not in (v_every_weekday, '{}')
        then p_needed.other_days_of_month end, p_needed.days_of_week, false, ''),
      (case when p_has_signs and not p_must_both_match and p_needed.days_of_month <> v_every_day
        and p_needed.other_days_of_week <> '{}'
        then nullif(p_needed.days_of_month, '{}') end, p_needed.other_days_of_week, false, ''),
      -- Both must match: pg_cron needs a star in front, which can stand before a field's first value alone.
      (case when v_both_restricted then array(select distinct day from unnest(p_needed.all_days_of_month || 1) as day
        order by day) end,
        p_needed.all_days_of_week, true, 'month'),
      (case when v_both_restricted then p_needed.all_days_of_month end,
        array(select distinct day from unnest(p_needed.all_days_of_week || 0) as day order by day), true, 'week')
  ), calendar as (
    select date_part('month', day)::integer as month, date_part('day', day)::integer as of_month, date_part('dow',
      day)::integer as of_week
    from generate_series(p_from::timestamp, p_from::timestamp + interval '20 years', interval '1 day') as day
    where (select count(days_of_month) > 1 from candidates) or cardinality(p_needed.months) < 12
  ), texts as (
    select dates.*,
      scheduler.format_schedule_field(days_of_month, 1, 31,
        case when not must_match then 'forbidden' when starred = 'month' then 'required' else 'free' end) as month_text,
      scheduler.format_schedule_field(days_of_week, 0, 6,
        case when not must_match then 'forbidden' when starred = 'week' then 'required' else 'free' end) as week_text
    from candidates, lateral (
      select count(*) filter (where month = any (p_needed.months)) as wanted, count(*) as in_any_month
      from calendar
      where case when must_match
        then of_month = any (days_of_month) and of_week = any (days_of_week)
        else of_month = any (days_of_month) or of_week = any (days_of_week)
      end
    ) as dates
    where days_of_month is not null
  )
  select * into v_chosen from texts order by wanted, length(month_text || week_text), month_text limit 1;
  return array[
    v_chosen.month_text,
    -- The months exclude no date (there is no 31 June), so the shorter text names the same dates.
    case when v_chosen.wanted = v_chosen.in_any_month then '*' else scheduler.format_schedule_field(p_needed.months, 1,
      12) end,
    v_chosen.week_text];
end;
$$;
comment on function scheduler.compile_days(scheduler.utc_values, boolean, boolean, date) is
  'The texts of the day-of-month, month and day-of-week fields that cover what is needed on the fewest dates of 20 '
    'years; the shortest of those.';

create function scheduler.listed_bits(p_bits bigint) returns integer[]
language sql immutable parallel safe set search_path = '' as $$
  select array(select bit from generate_series(0, 62) as bit where p_bits & (1::bigint << bit) <> 0 order by bit)
$$;
comment on function scheduler.listed_bits(bigint) is
  'The positions of the bits that are set, ascending: a set of small numbers as an array. Null gives an empty one.';

-- Which dates a day sign falls on repeats with the kinds of a year: each has come once in 41 years, 29 February on
-- each weekday too. So the entry of a schedule in UTC, which is not compiled again, stays right.
create function scheduler.compiled_span(p_parsed scheduler.parsed_schedule) returns interval
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case when p_parsed.signs_of_month is null and p_parsed.signs_of_week is null then interval '20 years'
    else interval '41 years' end;
end;
$$;
comment on function scheduler.compiled_span(scheduler.parsed_schedule) is
  'For how long an entry covers every occurrence.';

create function scheduler.needed_dates(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz)
returns table (utc_offset integer, falls_on timestamp, day timestamp, by_month boolean, by_week boolean,
  is_whole boolean, minute_from float8, minute_to float8)
language sql stable parallel safe set search_path = '' as $$
  with stretches as (
    select greatest(local_from, p_from at time zone 'UTC' + utc_offset) as local_from, local_to,
      extract(epoch from utc_offset)::integer / 60 as utc_offset, falls_on at time zone 'UTC' as falls_on
    from scheduler.local_stretches(p_parsed, p_time_zone, p_from, p_from + scheduler.compiled_span(p_parsed))
    where falls_on is null or falls_on >= p_from
  )
  select utc_offset, falls_on, day, by_month, by_week,
    falls_on is null and day >= local_from and day + interval '1 day' <= local_to,
    ceil(date_part('epoch', local_from - day) / 60), ceil(date_part('epoch', local_to - day) / 60)
  from stretches, lateral scheduler.matching_dates(p_parsed, local_from, local_to)
  -- Where every date is wanted, one whole date of a stretch stands for all.
  where local_from < local_to and (not (select scheduler.is_every_date(p_parsed))
    or day < local_from + interval '3 days' or day > local_to - interval '3 days');
$$;
comment on function scheduler.needed_dates(scheduler.parsed_schedule, text, timestamptz) is
  'The local dates of the years from p_from (scheduler.compiled_span) that a schedule matches, by the stretch that '
    'they lie in: its offset from UTC in minutes; for the times that a change skips, when they run (falls_on, UTC); '
    'whether the whole date lies in the stretch, else its minutes [minute_from, minute_to) do.';

-- Dates that keep one offset share their times of day, which are worked out once for each offset; the dates of a
-- change, and the first and last, are looked at one by one. Sets of numbers are kept as bits.
create function scheduler.needed_utc_values(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamptz)
returns scheduler.utc_values
language sql stable parallel safe set search_path = '' as $$
  with dates as (
    select * from scheduler.needed_dates(p_parsed, p_time_zone, p_from)
  ), parts as (
    select * from dates where not is_whole
  ), times as (
    select hour * 60 + minute as of_day from unnest(p_parsed.hours) as hour, unnest(p_parsed.minutes) as minute
  ), offset_times as (
    select utc_offset, has_whole, of_day, (of_day - utc_offset + 2880) / 1440 - 2 as days_on,
      (of_day - utc_offset + 2880) % 1440 as utc_time
    from times, (
      select utc_offset, bool_or(is_whole) as has_whole
      from dates where falls_on is null group by utc_offset) as offsets
  ), shifts as (
    select distinct utc_offset, days_on from offset_times
  ), gaps as (
    select falls_on, bool_or(by_month) as by_month, bool_or(by_week) as by_week from parts, times
    where falls_on is not null and of_day >= minute_from and of_day < minute_to group by falls_on
  ), utc_times as (
    select utc_time from offset_times where has_whole
    union all
    select utc_time from parts join offset_times using (utc_offset)
    where not has_whole and of_day >= minute_from and of_day < minute_to
    union all
    select (date_part('hour', falls_on) * 60 + date_part('minute', falls_on))::integer from gaps
  ), utc_days as (
    select day + make_interval(days => days_on) as day, by_month, by_week
    from dates join shifts using (utc_offset) where is_whole
    union all
    select day + make_interval(days => days_on), by_month, by_week
    from parts join shifts using (utc_offset)
    where exists (
      -- The part of the date in this stretch that lies on the UTC date meant.
      select from times where of_day >= greatest(minute_from, utc_offset + days_on * 1440)
        and of_day < least(minute_to, utc_offset + days_on * 1440 + 1440))
    union all
    select falls_on, by_month, by_week from gaps
  ), day_bits as (
    select 1::bigint << date_part('month', day)::integer as month,
      1::bigint << date_part('day', day)::integer as of_month,
      1::bigint << date_part('dow', day)::integer as of_week, by_month, by_week
    from utc_days
  )
  select (select scheduler.listed_bits(bit_or(1::bigint << (utc_time % 60))) from utc_times),
    (select scheduler.listed_bits(bit_or(1::bigint << (utc_time / 60))) from utc_times),
    scheduler.listed_bits(bit_or(month)), scheduler.listed_bits(bit_or(of_month)),
    scheduler.listed_bits(bit_or(of_week)), scheduler.listed_bits(bit_or(of_month) filter (where by_month)),
    scheduler.listed_bits(bit_or(of_week) filter (where by_week)),
    scheduler.listed_bits(bit_or(of_month) filter (where by_month and of_week & named.of_weeks = 0)),
    scheduler.listed_bits(bit_or(of_week) filter (where by_week and of_month & named.of_months = 0))
  from day_bits, (
    select coalesce(bit_or(of_month) filter (where by_month), 0) as of_months,
      coalesce(bit_or(of_week) filter (where by_week), 0) as of_weeks
    from day_bits) as named;
$$;
comment on function scheduler.needed_utc_values(scheduler.parsed_schedule, text, timestamptz) is
  'What the occurrences of the years from p_from (scheduler.compiled_span) need of each field in UTC; empty arrays '
    'where there is none.';

create function scheduler.compile_every_hour(p_minutes integer[], p_time_zone text, p_from timestamptz) returns text
language sql stable parallel safe set search_path = '' as $$
  select scheduler.format_schedule_field(array(
    select distinct (minute - (extract(epoch from utc_offset)::integer / 60) % 60 + 120) % 60 as utc_minute
    from unnest(p_minutes) as minute, scheduler.offset_periods(p_time_zone, p_from, p_from + interval '20 years')
    order by utc_minute), 0, 59) || ' * * * *';
$$;
comment on function scheduler.compile_every_hour(integer[], text, timestamptz) is
  'The entry for minutes of every hour of every date: the offsets from UTC move the minutes and nothing else.';

create function scheduler.compile_schedule(p_schedule text, p_time_zone text, p_from timestamptz default now())
returns text
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_parsed constant scheduler.parsed_schedule := scheduler.parse_schedule(p_schedule);
  v_needed scheduler.utc_values;
  v_days text[] := array['*', '*', '*'];
begin
  perform scheduler.require_time_zone(p_time_zone);
  if p_from is null or not isfinite(p_from) then
    raise exception using errcode = '22023',
      message = format('cannot compile the schedule: p_from must be a moment, got %s', coalesce(p_from::text, 'null'));
  end if;
  if v_parsed.interval_seconds is not null then
    return scheduler.compile_interval(v_parsed.interval_seconds);
  end if;
  if scheduler.is_every_date(v_parsed) and v_parsed.follows_real_clock then
    return scheduler.compile_every_hour(v_parsed.minutes, p_time_zone, p_from);
  end if;

  v_needed := scheduler.needed_utc_values(v_parsed, p_time_zone, p_from);
  if v_needed.minutes = '{}' then
    return null;
  end if;
  if not scheduler.is_every_date(v_parsed) then
    -- Weekdays that the schedule leaves free stay free: which ones 29 February falls on in 20 years is chance.
    if v_parsed.days_must_both_match and cardinality(v_parsed.days_of_week) = 7
      and v_parsed.signs_of_month is null then
      v_needed.all_days_of_week := v_parsed.days_of_week;
    end if;
    v_days := scheduler.compile_days(v_needed, v_parsed.days_must_both_match,
      v_parsed.signs_of_month is not null or v_parsed.signs_of_week is not null, (p_from at time zone 'UTC')::date);
  end if;
  return concat_ws(' ', scheduler.format_schedule_field(v_needed.minutes, 0, 59),
    scheduler.format_schedule_field(v_needed.hours, 0, 23), v_days[1], v_days[2], v_days[3]);
end;
$$;
comment on function scheduler.compile_schedule(text, text, timestamptz) is
  'The smallest UTC entry for pg_cron that covers every occurrence in the 20 years from p_from (41 with day signs); '
    'null when there is none. It may name more minutes than there are occurrences: dispatch asks next_occurrence. An '
    'interval has an entry of `N seconds` unless it is whole minutes. Raises 22023 for a schedule or a time zone that '
    'cannot be read.';

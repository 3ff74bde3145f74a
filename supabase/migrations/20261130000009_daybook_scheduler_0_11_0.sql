-- Daybook 0.11.0, pack scheduler. Made of supabase/sql/scheduler: change it there.

alter type scheduler.parsed_schedule
  add attribute signs_of_month integer[],
  add attribute signs_of_week integer[],
  add attribute interval_seconds integer;
comment on type scheduler.parsed_schedule is
  'A five-field schedule, each field as its ascending values (days_of_week 0 to 6, Sunday is 0). '
    'days_must_both_match: a date must match both day fields, not either. follows_real_clock: the hour field covers '
    'all 24 hours, so the clock''s changes are followed, not corrected. signs_of_month: L is 0, L-3 is -3, LW is 100, '
    '15W is 115; signs_of_week: 5#2 is 25, 5L is 95; null where there are none. interval_seconds: of a schedule of so '
    'many seconds, which has nothing else.';
alter type scheduler.utc_values
  add attribute other_days_of_month integer[],
  add attribute other_days_of_week integer[];
comment on type scheduler.utc_values is
  'What the occurrences of a schedule need of each field in UTC, ascending. all_days_...: those of any occurrence; '
    'days_of_month, days_of_week: those of the occurrences whose local date matches by that field; other_days_...: the '
    'same, of the occurrences on none of the days that the other field names.';
comment on column public.scheduler_jobs.schedule is
  'Five fields, a name such as @daily, or an interval such as 30 seconds; null: the job never runs by itself, only '
    'when it is enqueued or called.';

drop function scheduler.compile_days(scheduler.utc_values,boolean,date);

set local check_function_bodies = off;

CREATE OR REPLACE FUNCTION scheduler.compile_days(p_needed scheduler.utc_values, p_must_both_match boolean, p_has_signs boolean, p_from date)
 RETURNS text[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.compile_days(scheduler.utc_values,boolean,boolean,date) is 'The texts of the day-of-month, month and day-of-week fields that cover what is needed on the fewest dates of 20 years; the shortest of those.';
revoke all on function scheduler.compile_days(scheduler.utc_values,boolean,boolean,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compile_interval(p_seconds integer)
 RETURNS text
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_step integer;
begin
  if p_seconds % 60 <> 0 then
    return format('%s seconds', (
      select max(divisor) from generate_series(1, 59) as divisor where p_seconds % divisor = 0));
  end if;
  v_step := (
    select max(step) from unnest(array[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440])
      as step
    where p_seconds / 60 % step = 0);
  return case
    when v_step = 1 then '* * * * *'
    when v_step < 60 then format('*/%s * * * *', v_step)
    when v_step = 60 then '0 * * * *'
    when v_step < 1440 then format('0 */%s * * *', v_step / 60)
    else '0 0 * * *' end;
end;
$function$
;
comment on function scheduler.compile_interval(integer) is 'pg_cron''s entry for a schedule of so many seconds: the longest period that divides it and that pg_cron has, whole minutes where it is whole minutes.';
revoke all on function scheduler.compile_interval(integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compile_schedule(p_schedule text, p_time_zone text, p_from timestamp with time zone DEFAULT now())
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.compile_schedule(text,text,timestamp with time zone) is 'The smallest UTC entry for pg_cron that covers every occurrence in the 20 years from p_from (41 with day signs); null when there is none. It may name more minutes than there are occurrences: dispatch asks next_occurrence. An interval has an entry of `N seconds` unless it is whole minutes. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.compile_schedule(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.compiled_span(p_parsed scheduler.parsed_schedule)
 RETURNS interval
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return case when p_parsed.signs_of_month is null and p_parsed.signs_of_week is null then interval '20 years'
    else interval '41 years' end;
end;
$function$
;
comment on function scheduler.compiled_span(scheduler.parsed_schedule) is 'For how long an entry covers every occurrence.';
revoke all on function scheduler.compiled_span(scheduler.parsed_schedule) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_grid(p_seconds integer, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return greatest(0, ceil(extract(epoch from p_to) / p_seconds) - ceil(extract(epoch from p_from) / p_seconds));
end;
$function$
;
comment on function scheduler.count_grid(integer,timestamp with time zone,timestamp with time zone) is 'How many moments in [p_from, p_to) p_seconds since the epoch divide.';
revoke all on function scheduler.count_grid(integer,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_matching_days(p_parsed scheduler.parsed_schedule, p_from date, p_to date)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  if scheduler.is_every_date(p_parsed) then
    return greatest(p_to - p_from, 0);
  end if;
  return (
    select count(*) from scheduler.matching_dates(p_parsed, p_from, p_to::timestamp - interval '1 day'));
end;
$function$
;
comment on function scheduler.count_matching_days(scheduler.parsed_schedule,date,date) is 'How many dates in [p_from, p_to) the month and day fields match.';
revoke all on function scheduler.count_matching_days(scheduler.parsed_schedule,date,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.count_occurrences(p_schedule text, p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.count_occurrences(text,text,timestamp with time zone,timestamp with time zone) is 'How many occurrences lie in [p_from, p_to): what occurrences() would list, without listing them. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.count_occurrences(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.day_sign_hint(p_field_name text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
  select case p_field_name
    when 'day of month' then 'L is the last day, L-1 to L-30 count back from it, LW is the last weekday (Monday to '
      'Friday), 15W the weekday nearest to the 15th; they stand alone or in a list, without ranges and steps'
    else '5L or friL is the last Friday of the month, 5#2 or fri#2 its second, from 1 to 5; they stand alone or in a '
      'list, without ranges and steps' end;
$function$
;
comment on function scheduler.day_sign_hint(text) is 'What the signs of a day field are, for a message.';
revoke all on function scheduler.day_sign_hint(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.days_of_month(p_parsed scheduler.parsed_schedule, p_length integer, p_first_weekday integer)
 RETURNS bigint[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_every_day constant bigint := (1::bigint << (p_length + 1)) - 2;
  v_by_month bigint := 0;
  v_by_week bigint := 0;
  v_value integer;
  v_first integer;
begin
  if cardinality(p_parsed.days_of_month) = 31 then
    v_by_month := v_every_day;
  else
    foreach v_value in array p_parsed.days_of_month || p_parsed.signs_of_month loop
      v_by_month := v_by_month | (1::bigint << case
        when v_value > 100 then coalesce(scheduler.nearest_weekday(v_value - 100, p_length, p_first_weekday), 0)
        when v_value = 100 then scheduler.nearest_weekday(p_length, p_length, p_first_weekday)
        when v_value > 0 then v_value
        else greatest(p_length + v_value, 0) end);
    end loop;
  end if;
  if cardinality(p_parsed.days_of_week) = 7 then
    v_by_week := v_every_day;
  else
    foreach v_value in array p_parsed.days_of_week || p_parsed.signs_of_week loop
      v_first := 1 + (v_value % 10 - p_first_weekday + 7) % 7;
      v_by_week := v_by_week | case
        -- The same weekday up to five times, seven days apart.
        when v_value < 10 then b'10000001000000100000010000001'::bigint << v_first
        when v_value < 90 then 1::bigint << (v_first + 7 * (v_value / 10 - 1))
        else 1::bigint << (v_first + (p_length - v_first) / 7 * 7) end;
    end loop;
  end if;
  return array[v_by_month & v_every_day, v_by_week & v_every_day];
end;
$function$
;
comment on function scheduler.days_of_month(scheduler.parsed_schedule,integer,integer) is 'The days that a schedule''s day of month and its day of week name, in a month of p_length days that begins on p_first_weekday (Sunday is 0): two sets, kept as bits, bit 1 for the 1st.';
revoke all on function scheduler.days_of_month(scheduler.parsed_schedule,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entry_covers(p_entry text, p_at timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE
 SET search_path TO ''
AS $function$
  select scheduler.entry_needs_seconds(p_entry) or scheduler.next_occurrence(p_entry, 'UTC',
    date_trunc('minute', p_at) - interval '1 microsecond') = date_trunc('minute', p_at);
$function$
;
comment on function scheduler.entry_covers(text,timestamp with time zone) is 'Whether that UTC cron entry fires in that minute; one of seconds does in each.';
revoke all on function scheduler.entry_covers(text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.entry_needs_seconds(p_entry text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$ select p_entry like '%seconds' $function$
;
comment on function scheduler.entry_needs_seconds(text) is 'Whether an entry of compile_schedule needs a pg_cron that knows seconds, 1.5 or later.';
revoke all on function scheduler.entry_needs_seconds(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.looks_like_day_sign(p_field scheduler.schedule_field, p_text text)
 RETURNS boolean
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return p_text ~ '[?$#]' or case p_field.name
    when 'day of month' then p_text ~ '^[lw]+([^a-z]|$)|[0-9][lw]'
    when 'day of week' then p_text ~ '^l([^a-z]|$)|[0-9][lw]|^(sun|mon|tue|wed|thu|fri|sat)[lw]$'
    else p_text ~ '^(l|w|lw|l-[0-9]+|[0-9]+[lw]|(sun|mon|tue|wed|thu|fri|sat)l)$' end;
end;
$function$
;
comment on function scheduler.looks_like_day_sign(scheduler.schedule_field,text) is 'Whether an element in lower case, which is no plain value, was meant as a sign: L, W, #, ? or $.';
revoke all on function scheduler.looks_like_day_sign(scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.matching_dates(p_parsed scheduler.parsed_schedule, p_from timestamp without time zone, p_to timestamp without time zone)
 RETURNS TABLE(day timestamp without time zone, by_month boolean, by_week boolean)
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
#variable_conflict use_column
begin
  if p_parsed.signs_of_month is null and p_parsed.signs_of_week is null then
    return query
    select date, extract(day from date)::integer = any (p_parsed.days_of_month),
      extract(dow from date)::integer = any (p_parsed.days_of_week)
    from generate_series(date_trunc('day', p_from), p_to, interval '1 day') as date
    where extract(month from date)::integer = any (p_parsed.months)
      and case when p_parsed.days_must_both_match
        then extract(day from date)::integer = any (p_parsed.days_of_month)
          and extract(dow from date)::integer = any (p_parsed.days_of_week)
        else extract(day from date)::integer = any (p_parsed.days_of_month)
          or extract(dow from date)::integer = any (p_parsed.days_of_week) end;
    return;
  end if;

  return query
  with months as materialized (
    select month, sets[1] as by_month, sets[2] as by_week,
      case when p_parsed.days_must_both_match then sets[1] & sets[2] else sets[1] | sets[2] end as days
    from (
      select month, scheduler.days_of_month(p_parsed, extract(day from month + interval '1 month -1 day')::integer,
        extract(dow from month)::integer) as sets
      from generate_series(date_trunc('month', p_from), p_to, interval '1 month') as month
      where extract(month from month)::integer = any (p_parsed.months) offset 0
    ) as of_months
  ), bits as materialized (
    select nth, 1::bigint << nth as bit, make_interval(days => nth - 1) as further from generate_series(1, 31) as nth
  )
  select month + further, months.by_month & bit <> 0, months.by_week & bit <> 0
  from months, bits
  where days & bit <> 0 and month + further >= date_trunc('day', p_from) and month + further <= p_to;
end;
$function$
;
comment on function scheduler.matching_dates(scheduler.parsed_schedule,timestamp without time zone,timestamp without time zone) is 'The dates from that of p_from to that of p_to which the month and day fields match, as their midnights; whether the day of month and the day of week match by themselves.';
revoke all on function scheduler.matching_dates(scheduler.parsed_schedule,timestamp without time zone,timestamp without time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.moment_of_grid(p_seconds integer, p_at timestamp with time zone, p_further integer)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return to_timestamp((floor(extract(epoch from p_at) / p_seconds) + p_further) * p_seconds);
end;
$function$
;
comment on function scheduler.moment_of_grid(integer,timestamp with time zone,integer) is 'The last moment at or before p_at that p_seconds since the epoch divide, and p_further of these intervals on: 1 gives the first one after p_at.';
revoke all on function scheduler.moment_of_grid(integer,timestamp with time zone,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.named_schedule(p_text text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
  select case lower(p_text collate "C")
    when '@hourly' then '0 * * * *'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *'
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
  end;
$function$
;
comment on function scheduler.named_schedule(text) is 'The five fields that a name such as @daily stands for; null for any other text.';
revoke all on function scheduler.named_schedule(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.nearest_weekday(p_day integer, p_length integer, p_first_weekday integer)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
begin
  return case when p_day <= p_length then case (p_first_weekday + p_day - 1) % 7
    when 6 then case when p_day > 1 then p_day - 1 else 3 end
    when 0 then case when p_day < p_length then p_day + 1 else p_day - 2 end
    else p_day end end;
end;
$function$
;
comment on function scheduler.nearest_weekday(integer,integer,integer) is 'The weekday nearest to a day, in a month of p_length days that begins on p_first_weekday (Sunday is 0); null where the month has no such day.';
revoke all on function scheduler.nearest_weekday(integer,integer,integer) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.needed_dates(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamp with time zone)
 RETURNS TABLE(utc_offset integer, falls_on timestamp without time zone, day timestamp without time zone, by_month boolean, by_week boolean, is_whole boolean, minute_from double precision, minute_to double precision)
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.needed_dates(scheduler.parsed_schedule,text,timestamp with time zone) is 'The local dates of the years from p_from (scheduler.compiled_span) that a schedule matches, by the stretch that they lie in: its offset from UTC in minutes; for the times that a change skips, when they run (falls_on, UTC); whether the whole date lies in the stretch, else its minutes [minute_from, minute_to) do.';
revoke all on function scheduler.needed_dates(scheduler.parsed_schedule,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.needed_utc_values(p_parsed scheduler.parsed_schedule, p_time_zone text, p_from timestamp with time zone)
 RETURNS scheduler.utc_values
 LANGUAGE sql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.needed_utc_values(scheduler.parsed_schedule,text,timestamp with time zone) is 'What the occurrences of the years from p_from (scheduler.compiled_span) need of each field in UTC; empty arrays where there is none.';
revoke all on function scheduler.needed_utc_values(scheduler.parsed_schedule,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_matching_date(p_parsed scheduler.parsed_schedule, p_from date)
 RETURNS date
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_date date := p_from;
  v_month integer;
  v_day integer;
  v_last_day integer;
  v_next integer;
begin
  if p_parsed.signs_of_month is not null or p_parsed.signs_of_week is not null then
    return scheduler.next_signed_date(p_parsed, p_from);
  end if;
  -- The longest wait there is: a 29 February of a given weekday across a year like 2100, 40 years.
  while v_date <= p_from + 14975 loop
    v_month := extract(month from v_date)::integer;
    v_next := (select min(month) from unnest(p_parsed.months) as month where month >= v_month);
    if v_next is distinct from v_month then
      v_date := make_date(extract(year from v_date)::integer + (v_next is null)::integer, coalesce(v_next,
        p_parsed.months[1]), 1);
    end if;

    if not p_parsed.days_must_both_match then
      if extract(day from v_date)::integer = any (p_parsed.days_of_month)
        or extract(dow from v_date)::integer = any (p_parsed.days_of_week) then
        return v_date;
      end if;
      v_date := v_date + 1;
      continue;
    end if;

    v_day := extract(day from v_date)::integer;
    v_last_day := extract(day from date_trunc('month', v_date::timestamp) + interval '1 month -1 day')::integer;
    v_next := (select min(day) from unnest(p_parsed.days_of_month) as day where day >= v_day);
    if v_next > v_last_day or v_next is null then
      v_date := v_date + (v_last_day - v_day + 1);
      -- 30 February, 31 June: no year has them.
      continue when p_parsed.days_of_month[1] <= 29;
      continue when exists (
        select from unnest(p_parsed.months) as month
        where p_parsed.days_of_month[1] <= case when month = 2 then 29 when month in (4, 6, 9, 11) then 30 else 31 end);
      return null;
    end if;
    v_date := v_date + (v_next - v_day);
    if extract(dow from v_date)::integer = any (p_parsed.days_of_week) then
      return v_date;
    end if;
    v_date := v_date + 1;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.next_matching_date(scheduler.parsed_schedule,date) is 'The first date on or after p_from whose month and day fields match; null when there is none.';
revoke all on function scheduler.next_matching_date(scheduler.parsed_schedule,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_occurrence(p_schedule text, p_time_zone text, p_after timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.next_occurrence(text,text,timestamp with time zone) is 'The first occurrence strictly after p_after, in the IANA time zone given; null when the schedule never occurs (30 February). Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.next_occurrence(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.next_signed_date(p_parsed scheduler.parsed_schedule, p_from date)
 RETURNS date
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_month date := date_trunc('month', p_from::timestamp);
  v_next_month date;
  v_sets bigint[];
  v_days bigint;
begin
  while v_month <= p_from + 14975 loop
    v_next_month := v_month + interval '1 month';
    if extract(month from v_month)::integer = any (p_parsed.months) then
      v_sets := scheduler.days_of_month(p_parsed, v_next_month - v_month, extract(dow from v_month)::integer);
      v_days := case when p_parsed.days_must_both_match then v_sets[1] & v_sets[2] else v_sets[1] | v_sets[2] end;
      for v_day in greatest(p_from - v_month, 0) + 1..v_next_month - v_month loop
        if v_days & (1::bigint << v_day) <> 0 then
          return v_month + v_day - 1;
        end if;
      end loop;
    end if;
    v_month := v_next_month;
  end loop;
  return null;
end;
$function$
;
comment on function scheduler.next_signed_date(scheduler.parsed_schedule,date) is 'next_matching_date of a schedule with day signs: month by month.';
revoke all on function scheduler.next_signed_date(scheduler.parsed_schedule,date) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.no_run_facts(p_job scheduler_jobs, p_minute timestamp with time zone, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET search_path TO ''
AS $function$
declare
  v_gap public.scheduler_runs;
  v_last timestamptz;
begin
  if p_minute < date_trunc('minute', p_job.created_at) then
    return jsonb_build_object('kind', 'not_registered_yet',
      'registered', scheduler.local_text(p_job.created_at, p_job.time_zone));
  elsif p_job.schedule is null then
    return jsonb_build_object('kind', 'no_schedule', 'enabled', p_job.enabled);
  end if;
  -- An interval of seconds may have several occurrences in the minute: the last of them is explained.
  select max(at) into v_last
    from scheduler.occurrences(p_job.schedule, p_job.time_zone, p_minute, p_minute + interval '1 minute') as at;
  if v_last is null then
    return scheduler.not_due_facts(p_job, p_minute, p_now);
  end if;
  select * into v_gap from public.scheduler_runs
    where job_name = p_job.name and occurrences > 1 and scheduled_for <= v_last and scheduled_until >= p_minute
    limit 1;
  return case
    when found then scheduler.gap_facts(p_job, v_gap)
    when not p_job.enabled then jsonb_build_object('kind', 'disabled')
    when v_last > p_now then jsonb_build_object('kind', 'to_come', 'due_at', v_last,
      'wait_seconds', extract(epoch from v_last - p_now)::bigint,
      'paused', case when scheduler.is_paused(p_job, v_last)
        then jsonb_build_object('by', p_job.paused_by, 'reason', p_job.pause_reason) end)
    when p_job.next_run_at <= v_last then (
      select jsonb_build_object('kind', 'not_recorded', 'error', state.errors ->> p_job.name,
        'pulse_age_seconds', extract(epoch from p_now - state.last_pulse_at)::bigint)
      from (select) as always left join scheduler.pulse_state as state on true)
    when p_job.run_if is not null then jsonb_build_object('kind', 'no_work', 'run_if', p_job.run_if)
    else jsonb_build_object('kind', 'no_row',
      'keep_successes_days', scheduler.setting('scheduler.keep_successes_days'),
      'keep_failures_days', scheduler.setting('scheduler.keep_failures_days'))
  end;
exception when invalid_parameter_value then
  return jsonb_build_object('kind', 'unreadable', 'fault', sqlerrm);
end;
$function$
;
comment on function scheduler.no_run_facts(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'The facts of a minute of which the job has no row: why not, or when it is due.';
revoke all on function scheduler.no_run_facts(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.occurrences(p_schedule text, p_time_zone text, p_from timestamp with time zone, p_to timestamp with time zone)
 RETURNS SETOF timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.occurrences(text,text,timestamp with time zone,timestamp with time zone) is 'The occurrences of a schedule in [p_from, p_to), ascending, in the IANA time zone given. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.occurrences(text,text,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_field_part(p_field scheduler.schedule_field, p_typed text)
 RETURNS scheduler.schedule_part
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  -- The C collation: Turkish lowers I to another letter.
  v_text constant text collate "C" := lower(p_typed collate "C");
  -- In the pieces: 1 a star, a value or a range; 2 its first value; 4 its last; 6 the step.
  v_pieces constant text[] := regexp_match(v_text, '^(\*|([a-z]+|[0-9]+)(-([a-z]+|[0-9]+))?)(/([0-9]+))?$');
  v_is_range constant boolean := v_pieces[1] = '*' or v_pieces[4] is not null;
  v_first constant integer := case when v_pieces[1] = '*' then p_field.first
    else scheduler.field_value(p_field, v_pieces[2]) end;
  -- At the end of a range, sun is the 7 after Saturday.
  v_last constant integer := case when v_pieces[1] = '*' then p_field.last
    when v_pieces[4] = 'sun' and v_first > 0 and p_field.name = 'day of week' then 7
    when v_is_range then scheduler.field_value(p_field, v_pieces[4]) else v_first end;
  v_step constant integer := case when v_pieces[6] is null then 1
    when length(v_pieces[6]) <= 6 then v_pieces[6]::integer end;
  v_part scheduler.schedule_part;
begin
  if v_pieces is null or v_first is null or v_last is null then
    if scheduler.looks_like_day_sign(p_field, v_text) then
      return scheduler.read_day_sign(p_field, v_text, p_typed);
    end if;
    v_part.problem := format('the %s must be %s to %s, got ', p_field.name, p_field.first, p_field.last)
      || case when v_pieces is null or v_pieces[1] = v_pieces[2] and v_pieces[6] is null then format('"%s"', p_typed)
        else format('"%s" in "%s"', case when v_first is null then v_pieces[2] else v_pieces[4] end, p_typed) end;
  elsif v_pieces[6] is not null and not v_is_range then
    v_part.problem := format('the %s "%s" has a step without a range', p_field.name, p_typed);
    v_part.hint := format('write %s-%s/%s', v_pieces[2], p_field.last, v_pieces[6]);
  elsif v_step is null or v_step not between 1 and p_field.last then
    v_part.problem := format('the %s''s step must be 1 to %s, got "%s" in "%s"', p_field.name, p_field.last,
      v_pieces[6], p_typed);
    v_part.hint := format('a step counts within the field, %s to %s; it does not carry on into the next hour, day or '
      'month', p_field.first, p_field.last);
  elsif v_first > v_last then
    v_part.problem := format('the %s "%s" is a range that runs backwards', p_field.name, p_typed);
    v_part.hint := case when v_pieces[6] is null
      then format('write it as two: %s-%s,%s-%s', v_pieces[2], p_field.last - (p_field.name = 'day of week')::integer,
        case when v_pieces[4] ~ '^[a-z]' then p_field.value_names[1] else p_field.first::text end, v_pieces[4])
      else 'begin the range with its smaller end' end;
  else
    v_part.values := array(select generate_series(v_first, v_last, v_step));
  end if;
  return v_part;
end;
$function$
;
comment on function scheduler.parse_field_part(scheduler.schedule_field,text) is 'One element of a field''s list, such as 5, mon-fri, */15 or LW: its values (7 for a Sunday after Saturday), or the problem and, where one is known, a hint.';
revoke all on function scheduler.parse_field_part(scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_schedule(p_schedule text)
 RETURNS scheduler.parsed_schedule
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_text text collate "C" := btrim(p_schedule collate "C", E' \t\r\n');
  v_fields text[] := regexp_split_to_array(v_text, '[ \t\r\n]+');
  v_parsed scheduler.parsed_schedule;
begin
  if cardinality(v_fields) is distinct from 5 or length(v_text) > 1000 or v_text like '@%' then
    v_parsed.interval_seconds := scheduler.read_interval(v_text);
    if v_parsed.interval_seconds is not null then
      return v_parsed;
    end if;
    if scheduler.named_schedule(v_text) is null then
      perform scheduler.refuse_schedule(p_schedule, v_text, v_fields);
    end if;
    v_fields := string_to_array(scheduler.named_schedule(v_text), ' ');
  end if;

  v_parsed.minutes := scheduler.parse_schedule_field(p_schedule, ('minute', 0, 59, null), v_fields[1]);
  v_parsed.hours := scheduler.parse_schedule_field(p_schedule, ('hour', 0, 23, null), v_fields[2]);
  v_parsed.days_of_month := scheduler.parse_schedule_field(p_schedule, ('day of month', 1, 31, null), v_fields[3]);
  v_parsed.months := scheduler.parse_schedule_field(p_schedule, ('month', 1, 12,
    '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'::text[]), v_fields[4]);
  v_parsed.days_of_week := scheduler.parse_schedule_field(p_schedule, ('day of week', 0, 7,
    '{sun,mon,tue,wed,thu,fri,sat}'::text[]), v_fields[5]);
  v_parsed.days_must_both_match := v_fields[3] like '*%' or v_fields[5] like '*%';
  v_parsed.follows_real_clock := cardinality(v_parsed.hours) = 24;
  if v_parsed.days_of_month[1] <= 0 or v_parsed.days_of_month[cardinality(v_parsed.days_of_month)] >= 100
    or v_parsed.days_of_week[cardinality(v_parsed.days_of_week)] >= 10 then
    return scheduler.split_day_signs(v_parsed);
  end if;
  return v_parsed;
end;
$function$
;
comment on function scheduler.parse_schedule(text) is 'Reads a schedule. Five fields: minute, hour, day of month, month, day of week (7 and 0 are Sunday), with lists, ranges, steps, names and day signs (L, LW, 15W, 5L, 5#2); or @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually; or 1 to 86400 seconds, as in 30 seconds. Raises 22023 which quotes the bad part, names the field and gives its range.';
revoke all on function scheduler.parse_schedule(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.parse_schedule_field(p_schedule text, p_field scheduler.schedule_field, p_text text)
 RETURNS integer[]
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_typed text;
  v_part scheduler.schedule_part;
  v_values integer[] := array[]::integer[];
begin
  if p_text = '*' then
    return array(select generate_series(p_field.first, p_field.last - (p_field.name = 'day of week')::integer));
  end if;
  foreach v_typed in array string_to_array(p_text, ',') loop
    v_part := scheduler.parse_field_part(p_field, v_typed);
    if v_typed = '' then
      v_part.problem := format('the %s "%s" has an empty place in its list', p_field.name, p_text);
    end if;
    if v_part.problem is not null then
      raise exception using errcode = '22023',
        message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_part.problem, 300)),
        hint = left(coalesce(v_part.hint, format(
          'the %s is %s to %s%s; lists 1,2, ranges 1-5 and steps */2 or 1-5/2 can be used',
          p_field.name, p_field.first, p_field.last, ' or ' || p_field.value_names[1] || ' to '
            || p_field.value_names[cardinality(p_field.value_names)])), 300);
    end if;
    v_values := v_values || v_part.values;
  end loop;
  return array(
    select distinct case when value = 7 and p_field.name = 'day of week' then 0 else value end as listed
    from unnest(v_values) as value order by listed);
end;
$function$
;
comment on function scheduler.parse_schedule_field(text,scheduler.schedule_field,text) is 'The ascending values of one field of a schedule. Raises 22023 which quotes the bad part, names the field and gives its range.';
revoke all on function scheduler.parse_schedule_field(text,scheduler.schedule_field,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.previous_occurrence(p_schedule text, p_time_zone text, p_before timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
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
$function$
;
comment on function scheduler.previous_occurrence(text,text,timestamp with time zone) is 'The last occurrence at or before p_before, in the IANA time zone given; null when there is none in the 40 years before. Raises 22023 for a schedule or a time zone that cannot be read.';
revoke all on function scheduler.previous_occurrence(text,text,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.put_job(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_job public.scheduler_jobs := scheduler.checked_job(p_job);
  v_old public.scheduler_jobs;
  v_has_same_times boolean;
  v_fault text;
begin
  perform scheduler.require_seconds(v_job);
  select * into v_old from public.scheduler_jobs where name = v_job.name for no key update;
  v_has_same_times := (v_old.schedule, v_old.time_zone) is not distinct from (v_job.schedule, v_job.time_zone);
  if v_old.enabled and v_job.enabled and not v_has_same_times then
    -- Occurrences that came due under the old times are recorded before the times change.
    v_fault := scheduler.try_record_due(v_old, now());
    if v_fault is not null then
      v_fault := 'what came due under its old times is not in the ledger: ' || v_fault;
      raise warning '%: %', v_job.name, v_fault;
      perform scheduler.log_activity(v_job.name, v_fault, 'warning');
    end if;
  end if;
  -- The cursor stays where it is unless the times themselves change or the job is switched on.
  v_job.next_run_at := case
    when v_job.schedule is null then null
    when v_has_same_times and (v_old.enabled or not v_job.enabled) and v_old.next_run_at is not null
      then v_old.next_run_at
    else scheduler.next_occurrence(v_job.schedule, v_job.time_zone, now())
  end;
  perform scheduler.write_job(v_job);
  perform scheduler.sync_cron_entry(v_job.name);
end;
$function$
;
comment on function scheduler.put_job(scheduler_jobs) is 'Writes a job into the registry and makes pg_cron follow, as register_job describes it: what it does once all values are there.';
revoke all on function scheduler.put_job(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_day_sign(p_field scheduler.schedule_field, p_text text, p_typed text)
 RETURNS scheduler.schedule_part
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  -- Of a day of month: 1 an L, 2 the days before it, 3 what stands before a W.
  v_of_month text[];
  -- Of a day of week: 1 the weekday, 2 an L, 3 its place.
  v_of_week text[];
  v_number integer;
  v_part scheduler.schedule_part;
begin
  if p_text ~ '[?$]' or p_field.name not in ('day of month', 'day of week') then
    v_part.problem := format('the %s "%s" uses a sign that is not supported', p_field.name, p_typed);
    v_part.hint := '? and $ are other schedulers'' signs; the day of month has L, L-3, LW and 15W, the day of week 5L '
      'and 5#2';
    return v_part;
  end if;

  if p_field.name = 'day of month' then
    v_of_month := regexp_match(p_text, '^(?:(l)(?:-([0-9]{1,6}))?|(l|[0-9]{1,6})w)$');
    v_number := coalesce(v_of_month[2], nullif(v_of_month[3], 'l'))::integer;
    v_part.values := case
      when v_of_month[3] = 'l' then array[100]
      when v_of_month[3] is not null then case when v_number between 1 and 31 then array[100 + v_number] end
      when v_number is null and v_of_month[1] is not null then array[0]
      when v_number between 1 and 30 then array[-v_number]
    end;
  else
    v_of_week := regexp_match(p_text, '^([a-z]{3}|[0-9]{1,6})(?:(l)|#([0-9]{1,6}))$');
    v_number := scheduler.field_value(p_field, v_of_week[1]) % 7;
    v_part.values := case
      when v_of_week[2] is not null then array[90 + v_number]
      when v_of_week[3]::integer between 1 and 5 then array[10 * v_of_week[3]::integer + v_number]
    end;
  end if;

  if v_part.values[1] is null then
    v_part.values := null;
    v_part.problem := case
      when v_of_month[3] is not null or v_of_week[1] is not null and v_number is null then
        format('the %s must be %s to %s, got "%s" in "%s"', p_field.name, p_field.first, p_field.last,
          coalesce(v_of_month[3], v_of_week[1]), p_typed)
      else format('the %s has no sign "%s"', p_field.name, p_typed) end;
    v_part.hint := scheduler.day_sign_hint(p_field.name);
  end if;
  return v_part;
end;
$function$
;
comment on function scheduler.read_day_sign(scheduler.schedule_field,text,text) is 'A day sign as a number that no plain value has. Of a day of month: L is 0, L-3 is -3, LW is 100, 15W is 115. Of a day of week: 5#2 is 25, 5L is 95. Or the problem and a hint. p_text is p_typed in lower case.';
revoke all on function scheduler.read_day_sign(scheduler.schedule_field,text,text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.read_interval(p_text text)
 RETURNS integer
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_digits constant text := (regexp_match(p_text, '^0*([0-9]{1,5})[ \t\r\n]*seconds?$', 'i'))[1];
begin
  return case when v_digits::integer between 1 and 86400 then v_digits::integer end;
end;
$function$
;
comment on function scheduler.read_interval(text) is 'The N of `N seconds`, as pg_cron reads it, 1 to 86400; null for any other text.';
revoke all on function scheduler.read_interval(text) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.refuse_schedule(p_schedule text, p_text text, p_fields text[])
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_problem text;
  v_hint text;
begin
  if p_text is null or p_text = '' then
    v_problem := 'it is empty';
  elsif length(p_text) > 1000 then
    v_problem := format('it must be at most 1000 characters, got %s', length(p_text));
  elsif p_text like '@%' then
    v_problem := format('"%s" is not five fields', p_fields[1]);
    v_hint := case lower(p_fields[1] collate "C")
      when '@reboot' then 'a job runs at times, not at a start: no five fields say it'
      when '@continuous' then '@continuous is no time: a job that never ends has no occurrences'
    end;
  elsif p_text ~* '^[0-9]+[ \t\r\n]*seconds?$' then
    v_problem := format('an interval must be 1 to 86400 seconds, got %s',
      left(substring(p_text from '^[0-9]+'), 20));
    v_hint := 'as in 30 seconds; 86400 seconds are a day';
  elsif cardinality(p_fields) = 6 then
    v_problem := 'it has six fields, seconds are not supported';
    v_hint := format('five fields, without seconds: %s', left(array_to_string(p_fields[2:6], ' '), 100));
  else
    v_problem := format('it must have five fields, got %s', cardinality(p_fields));
  end if;
  raise exception using errcode = '22023',
    message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_problem, 300)),
    hint = coalesce(v_hint, 'five fields: minute, hour, day of month, month, day of week, as in 30 2 * * 1-5; or '
      'seconds, as in 30 seconds; or @hourly, @daily, @weekly, @monthly, @yearly');
end;
$function$
;
comment on function scheduler.refuse_schedule(text,text,text[]) is 'Raises 22023 with the reason why a text (p_text: without the blanks around it) is no schedule.';
revoke all on function scheduler.refuse_schedule(text,text,text[]) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.require_seconds(p_job scheduler_jobs)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
begin
  if scheduler.entry_needs_seconds(p_job.cron_entry)
    and scheduler.entry_needs_seconds(scheduler.sync_pulse_entry()) is not true then
    raise exception using errcode = '22023',
      message = format('cannot register the job %s: the schedule %L needs a pg_cron that has seconds, and this one has '
        'none', p_job.name, p_job.schedule),
      hint = 'pg_cron has them from 1.5 on; without them an interval must be whole minutes, such as 60 or 120 seconds';
  end if;
end;
$function$
;
comment on function scheduler.require_seconds(scheduler_jobs) is 'Raises 22023 for a job whose entry needs seconds where this pg_cron has none.';
revoke all on function scheduler.require_seconds(scheduler_jobs) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.split_day_signs(p_parsed scheduler.parsed_schedule)
 RETURNS scheduler.parsed_schedule
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO ''
AS $function$
declare
  v_parsed scheduler.parsed_schedule := p_parsed;
begin
  v_parsed.days_of_month := array(
    select value from unnest(p_parsed.days_of_month) as value where value between 1 and 31 order by value);
  v_parsed.signs_of_month := nullif(array(
    select value from unnest(p_parsed.days_of_month) as value where value not between 1 and 31 order by value), '{}');
  v_parsed.days_of_week := array(
    select value from unnest(p_parsed.days_of_week) as value where value < 10 order by value);
  v_parsed.signs_of_week := nullif(array(
    select value from unnest(p_parsed.days_of_week) as value where value >= 10 order by value), '{}');
  return v_parsed;
end;
$function$
;
comment on function scheduler.split_day_signs(scheduler.parsed_schedule) is 'A schedule whose day fields hold plain values and signs, with the signs apart.';
revoke all on function scheduler.split_day_signs(scheduler.parsed_schedule) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.start_occurrence(p_job scheduler_jobs, p_scheduled_for timestamp with time zone, p_now timestamp with time zone)
 RETURNS uuid
 LANGUAGE plpgsql
 SET search_path TO ''
AS $function$
declare
  v_run public.scheduler_runs;
  v_holder uuid;
  v_holder_trigger text;
begin
  if scheduler.takes_lock(p_job) then
    select runs.id, runs.trigger into v_holder, v_holder_trigger
      from public.scheduler_locks as locks join public.scheduler_runs as runs on runs.id = locks.run_id
      where locks.name = p_job.name and locks.expires_at > p_now;
  end if;
  -- pg_cron's entries start within two seconds, those of seconds within their period; a later occurrence was found by
  -- the pulse, after a restart for example.
  v_run := scheduler.new_run(p_job,
    case when p_scheduled_for > p_now - case when scheduler.entry_needs_seconds(p_job.cron_entry)
      then interval '1 minute' else interval '10 seconds' end then 'cron' else 'catch_up' end, p_scheduled_for);
  if v_holder is not null then
    select scheduler.overlap_kind(p_job, v_holder_trigger,
        coalesce(bool_or(trigger = 'catch_up'), false), coalesce(bool_or(trigger = 'cron'), false)) into v_run.skip_kind
      from public.scheduler_runs where job_name = p_job.name and status = 'queued';
  end if;
  if v_run.skip_kind is not null then
    v_run.status := 'skipped';
    v_run.verdict := 'skipped';
    v_run.completed_at := p_now;
    v_run.skip_reason := scheduler.skip_text(p_job, v_run.skip_kind, v_holder::text);
  end if;

  select * into v_run from scheduler.add_runs(array[v_run]);
  if v_run.id is not null and v_holder is null then
    perform scheduler.send_run(p_job, v_run, p_now);
  end if;
  return v_run.id;
end;
$function$
;
comment on function scheduler.start_occurrence(scheduler_jobs,timestamp with time zone,timestamp with time zone) is 'Writes the ledger row of a due occurrence and sends it, lets it wait, or says why not (overlap, queue_full). Returns the run, null when the occurrence had its row already. The caller holds the job''s row lock.';
revoke all on function scheduler.start_occurrence(scheduler_jobs,timestamp with time zone,timestamp with time zone) from public, anon, authenticated, service_role;

CREATE OR REPLACE FUNCTION scheduler.version()
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
 SET search_path TO ''
AS $function$ select '0.11.0' $function$
;
comment on function scheduler.version() is 'The version of Daybook that this database has.';
revoke all on function scheduler.version() from public, anon, authenticated, service_role;

-- Which dates a schedule matches, by its month and day fields.

create function scheduler.is_every_date(p_parsed scheduler.parsed_schedule) returns boolean
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return cardinality(p_parsed.months) = 12 and case when p_parsed.days_must_both_match
    then cardinality(p_parsed.days_of_month) = 31 and cardinality(p_parsed.days_of_week) = 7
    else cardinality(p_parsed.days_of_month) = 31 or cardinality(p_parsed.days_of_week) = 7 end;
end;
$$;
comment on function scheduler.is_every_date(scheduler.parsed_schedule) is 'Whether a schedule matches every date.';

-- Weekdays are Monday to Friday here. What is asked for never leaves its month.
create function scheduler.nearest_weekday(p_day integer, p_length integer, p_first_weekday integer) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case when p_day <= p_length then case (p_first_weekday + p_day - 1) % 7
    when 6 then case when p_day > 1 then p_day - 1 else 3 end
    when 0 then case when p_day < p_length then p_day + 1 else p_day - 2 end
    else p_day end end;
end;
$$;
comment on function scheduler.nearest_weekday(integer, integer, integer) is
  'The weekday nearest to a day, in a month of p_length days that begins on p_first_weekday (Sunday is 0); null where '
    'the month has no such day.';

create function scheduler.days_of_month(p_parsed scheduler.parsed_schedule, p_length integer, p_first_weekday integer)
returns bigint[]
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.days_of_month(scheduler.parsed_schedule, integer, integer) is
  'The days that a schedule''s day of month and its day of week name, in a month of p_length days that begins on '
    'p_first_weekday (Sunday is 0): two sets, kept as bits, bit 1 for the 1st.';

create function scheduler.next_signed_date(p_parsed scheduler.parsed_schedule, p_from date) returns date
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.next_signed_date(scheduler.parsed_schedule, date) is
  'next_matching_date of a schedule with day signs: month by month.';

create function scheduler.next_matching_date(p_parsed scheduler.parsed_schedule, p_from date) returns date
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.next_matching_date(scheduler.parsed_schedule, date) is
  'The first date on or after p_from whose month and day fields match; null when there is none.';

create function scheduler.matching_dates(p_parsed scheduler.parsed_schedule, p_from timestamp, p_to timestamp)
returns table (day timestamp, by_month boolean, by_week boolean)
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.matching_dates(scheduler.parsed_schedule, timestamp, timestamp) is
  'The dates from that of p_from to that of p_to which the month and day fields match, as their midnights; whether '
    'the day of month and the day of week match by themselves.';

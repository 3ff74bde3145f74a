-- Reads what a schedule may have beside plain values: day signs, names such as @daily, and `N seconds`.

create function scheduler.looks_like_day_sign(p_field scheduler.schedule_field, p_text text) returns boolean
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return p_text ~ '[?$#]' or case p_field.name
    when 'day of month' then p_text ~ '^[lw]+([^a-z]|$)|[0-9][lw]'
    when 'day of week' then p_text ~ '^l([^a-z]|$)|[0-9][lw]|^(sun|mon|tue|wed|thu|fri|sat)[lw]$'
    else p_text ~ '^(l|w|lw|l-[0-9]+|[0-9]+[lw]|(sun|mon|tue|wed|thu|fri|sat)l)$' end;
end;
$$;
comment on function scheduler.looks_like_day_sign(scheduler.schedule_field, text) is
  'Whether an element in lower case, which is no plain value, was meant as a sign: L, W, #, ? or $.';

create function scheduler.day_sign_hint(p_field_name text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case p_field_name
    when 'day of month' then 'L is the last day, L-1 to L-30 count back from it, LW is the last weekday (Monday to '
      'Friday), 15W the weekday nearest to the 15th; they stand alone or in a list, without ranges and steps'
    else '5L or friL is the last Friday of the month, 5#2 or fri#2 its second, from 1 to 5; they stand alone or in a '
      'list, without ranges and steps' end;
$$;
comment on function scheduler.day_sign_hint(text) is 'What the signs of a day field are, for a message.';

create function scheduler.read_day_sign(p_field scheduler.schedule_field, p_text text, p_typed text)
returns scheduler.schedule_part
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.read_day_sign(scheduler.schedule_field, text, text) is
  'A day sign as a number that no plain value has. Of a day of month: L is 0, L-3 is -3, LW is 100, 15W is 115. Of a '
    'day of week: 5#2 is 25, 5L is 95. Or the problem and a hint. p_text is p_typed in lower case.';

create function scheduler.split_day_signs(p_parsed scheduler.parsed_schedule) returns scheduler.parsed_schedule
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.split_day_signs(scheduler.parsed_schedule) is
  'A schedule whose day fields hold plain values and signs, with the signs apart.';

create function scheduler.named_schedule(p_text text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case lower(p_text collate "C")
    when '@hourly' then '0 * * * *'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *'
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
  end;
$$;
comment on function scheduler.named_schedule(text) is
  'The five fields that a name such as @daily stands for; null for any other text.';

create function scheduler.read_interval(p_text text) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_digits constant text := (regexp_match(p_text, '^0*([0-9]{1,5})[ \t\r\n]*seconds?$', 'i'))[1];
begin
  return case when v_digits::integer between 1 and 86400 then v_digits::integer end;
end;
$$;
comment on function scheduler.read_interval(text) is
  'The N of `N seconds`, as pg_cron reads it, 1 to 86400; null for any other text.';

-- Reads a schedule: five fields, a name such as @daily, or `N seconds`.

-- Every field's values are listed, ascending; Sunday is 0. `days_must_both_match` is cron's rule for the two day
-- fields: where one of them begins with * a date must match both, else matching either is enough. Day signs are numbers
-- that no plain value has: see scheduler.read_day_sign.
create type scheduler.parsed_schedule as (
  minutes integer[],
  hours integer[],
  days_of_month integer[],
  months integer[],
  days_of_week integer[],
  days_must_both_match boolean,
  follows_real_clock boolean,
  signs_of_month integer[],
  signs_of_week integer[],
  interval_seconds integer
);
comment on type scheduler.parsed_schedule is
  'A five-field schedule, each field as its ascending values (days_of_week 0 to 6, Sunday is 0). '
    'days_must_both_match: a date must match both day fields, not either. follows_real_clock: the hour field covers '
    'all 24 hours, so the clock''s changes are followed, not corrected. signs_of_month: L is 0, L-3 is -3, LW is 100, '
    '15W is 115; signs_of_week: 5#2 is 25, 5L is 95; null where there are none. interval_seconds: of a schedule of so '
    'many seconds, which has nothing else.';

create type scheduler.schedule_field as (name text, first integer, last integer, value_names text[]);
create type scheduler.schedule_part as (values integer[], problem text, hint text);
comment on type scheduler.schedule_field is
  'A field of a schedule: its name, its range, and the names of its values from the first on (null: it has none).';
comment on type scheduler.schedule_part is
  'One element of a field''s list as it was read: its values, or the problem and a hint.';

create function scheduler.field_value(p_field scheduler.schedule_field, p_text text) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_value constant integer := case when p_text ~ '^[0-9]{1,6}$' then p_text::integer
    else array_position(p_field.value_names, p_text) - 1 + p_field.first end;
begin
  return case when v_value between p_field.first and p_field.last then v_value end;
end;
$$;
comment on function scheduler.field_value(scheduler.schedule_field, text) is
  'The value that a number or a name in lower case stands for; null where the field has none such.';

create function scheduler.parse_field_part(p_field scheduler.schedule_field, p_typed text)
returns scheduler.schedule_part
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.parse_field_part(scheduler.schedule_field, text) is
  'One element of a field''s list, such as 5, mon-fri, */15 or LW: its values (7 for a Sunday after Saturday), or the '
    'problem and, where one is known, a hint.';

create function scheduler.parse_schedule_field(p_schedule text, p_field scheduler.schedule_field, p_text text)
returns integer[]
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.parse_schedule_field(text, scheduler.schedule_field, text) is
  'The ascending values of one field of a schedule. Raises 22023 which quotes the bad part, names the field and gives '
    'its range.';

create function scheduler.refuse_schedule(p_schedule text, p_text text, p_fields text[]) returns void
language plpgsql immutable parallel safe set search_path = '' as $$
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
      'seconds, as in 30 seconds; or @hourly, @daily, @weekly, @monthly, @yearly, @continuous');
end;
$$;
comment on function scheduler.refuse_schedule(text, text, text[]) is
  'Raises 22023 with the reason why a text (p_text: without the blanks around it) is no schedule.';

create function scheduler.parse_schedule(p_schedule text) returns scheduler.parsed_schedule
language plpgsql immutable parallel safe set search_path = '' as $$
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
$$;
comment on function scheduler.parse_schedule(text) is
  'Reads a schedule. Five fields: minute, hour, day of month, month, day of week (7 and 0 are Sunday), with lists, '
    'ranges, steps, names and day signs (L, LW, 15W, 5L, 5#2); or @hourly, @daily, @midnight, @weekly, @monthly, '
    '@yearly, @annually; or 1 to 86400 seconds, as in 30 seconds. Raises 22023 which quotes the bad part, names the '
    'field and gives its range.';

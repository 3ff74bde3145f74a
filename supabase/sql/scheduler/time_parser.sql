-- Reading a five-field schedule and judging a time zone's name.

-- Every field's values are listed, ascending; Sunday is 0. `days_must_both_match` is cron's rule for the two day
-- fields: where one of them begins with * a date must match both, else matching either is enough.
do $$
begin
  if to_regtype('scheduler.parsed_schedule') is null then
    create type scheduler.parsed_schedule as (
      minutes integer[],
      hours integer[],
      days_of_month integer[],
      months integer[],
      days_of_week integer[],
      days_must_both_match boolean,
      follows_real_clock boolean
    );
  end if;
end;
$$;
comment on type scheduler.parsed_schedule is
  'A five-field schedule, each field as its ascending values (days_of_week 0 to 6, Sunday is 0). '
    'days_must_both_match: a date must match both day fields, not either. follows_real_clock: the hour field covers '
    'all 24 hours, so the clock''s changes are followed, not corrected.';

create function scheduler.parse_schedule_field(
  p_schedule text,
  p_field text,
  p_name text,
  p_first integer,
  p_last integer,
  p_value_names text[]
) returns integer[]
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  -- The C collation: reading must not depend on the database's (Turkish lowers I to another letter).
  v_typed text;
  v_part text collate "C";
  v_pieces text[];
  v_ends integer[];
  v_end text collate "C";
  v_value integer;
  v_step integer;
  v_values integer[] := array[]::integer[];
  v_problem text;
  v_hint text := format('the %s is %s to %s%s; lists 1,2, ranges 1-5 and steps */2 or 1-5/2 can be used', p_name,
    p_first, p_last,
    case when p_value_names is null then '' else format(' or %s to %s', p_value_names[1],
      p_value_names[cardinality(p_value_names)]) end);
begin
  if p_field = '*' then
    return array(select generate_series(p_first, case p_name when 'day of week' then 6 else p_last end));
  end if;

  foreach v_typed in array string_to_array(p_field, ',') loop
    v_part := lower(v_typed collate "C");
    if v_part ~ '[?$#]|^(l|w|lw|l-[0-9]+|[0-9]+[lw]|(sun|mon|tue|wed|thu|fri|sat)l)$' then
      v_problem := format('the %s "%s" uses a sign that is not supported', p_name, v_typed);
      v_hint := 'L, W, #, ? and $ are other schedulers'' signs; cron knows numbers, names, * , - and / alone';
      exit;
    end if;
    v_pieces := regexp_match(v_part, '^(\*|([a-z]+|[0-9]+)(-([a-z]+|[0-9]+))?)(/([0-9]+))?$');
    if v_pieces is null then
      v_problem := case
        when v_part = '' then format('the %s "%s" has an empty place in its list', p_name, p_field)
        else format('the %s must be %s to %s, got "%s"', p_name, p_first, p_last, v_typed)
      end;
      exit;
    end if;

    v_ends := '{}';
    if v_pieces[1] = '*' then
      v_ends := array[p_first, p_last];
    else
      foreach v_end in array array_remove(array[v_pieces[2], v_pieces[4]], null) loop
        v_value := case
          when v_end ~ '^[0-9]{1,6}$' then v_end::integer
          else array_position(p_value_names, v_end) - 1 + p_first
        end;
        if v_value is null or v_value not between p_first and p_last then
          v_problem := format('the %s must be %s to %s, got "%s"', p_name, p_first, p_last, case when v_end = v_part
            then v_typed else v_end end)
            || case when v_end = v_part then '' else format(' in "%s"', v_typed) end;
        end if;
        exit when v_problem is not null;
        v_ends := v_ends || v_value;
      end loop;
      exit when v_problem is not null;
      -- Written as the end of a range, sun is the 7 that comes after saturday.
      if v_pieces[4] = 'sun' and v_ends[1] > 0 then
        v_ends[2] := 7;
      end if;
    end if;

    v_step := 1;
    if v_pieces[6] is not null then
      if cardinality(v_ends) = 1 then
        v_problem := format('the %s "%s" has a step without a range', p_name, v_typed);
        v_hint := format('write %s-%s/%s', v_pieces[2], p_last, v_pieces[6]);
        exit;
      end if;
      v_step := case when length(v_pieces[6]) <= 6 then v_pieces[6]::integer end;
      if v_step is null or v_step not between 1 and greatest(p_last, 1) then
        v_problem := format('the %s''s step must be 1 to %s, got "%s" in "%s"', p_name, p_last, v_pieces[6], v_typed);
        v_hint := format('a step counts within the field, %s to %s; it does not carry on into the next hour, day or '
          'month', p_first, p_last);
        exit;
      end if;
    end if;

    if v_ends[1] > v_ends[2] then
      v_problem := format('the %s "%s" is a range that runs backwards', p_name, v_typed);
      v_hint := case when v_pieces[6] is null
        then format('write it as two: %s-%s,%s-%s', v_pieces[2], case p_name when 'day of week' then 6 else p_last end,
          case when v_pieces[4] ~ '^[a-z]' then p_value_names[1] else p_first::text end, v_pieces[4])
        else 'begin the range with its smaller end'
      end;
      exit;
    end if;

    v_values := v_values || array(select generate_series(v_ends[1], coalesce(v_ends[2], v_ends[1]), v_step));
  end loop;

  if v_problem is not null then
    raise exception using errcode = '22023',
      message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_problem, 300)),
      hint = left(v_hint, 300);
  end if;
  return array(
    select distinct case when p_name = 'day of week' then value % 7 else value end as listed
    from unnest(v_values) as value order by listed);
end;
$$;
comment on function scheduler.parse_schedule_field(text, text, text, integer, integer, text[]) is
  'The ascending values of one field of a schedule. Raises 22023 which quotes the bad part, names the field and gives '
    'its range.';

create function scheduler.parse_schedule(p_schedule text) returns scheduler.parsed_schedule
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_text text collate "C" := btrim(p_schedule collate "C", E' \t\r\n');
  v_fields text[] := regexp_split_to_array(v_text, '[ \t\r\n]+');
  v_parsed scheduler.parsed_schedule;
  v_problem text;
  v_hint text;
begin
  if v_text is null or v_text = '' then
    v_problem := 'it is empty';
  elsif length(v_text) > 1000 then
    v_problem := format('it must be at most 1000 characters, got %s', length(v_text));
  elsif v_text like '@%' then
    v_problem := format('"%s" is not five fields', v_fields[1]);
    v_hint := case lower(v_fields[1] collate "C")
      when '@hourly' then 'write 0 * * * *'
      when '@daily' then 'write 0 0 * * *'
      when '@midnight' then 'write 0 0 * * *'
      when '@weekly' then 'write 0 0 * * 0'
      when '@monthly' then 'write 0 0 1 * *'
      when '@yearly' then 'write 0 0 1 1 *'
      when '@annually' then 'write 0 0 1 1 *'
      when '@reboot' then 'a job runs at times, not at a start: no five fields say it'
    end;
  elsif cardinality(v_fields) = 2 and v_fields[2] ~ '^seconds?$' then
    v_problem := 'an interval of seconds is not supported';
    v_hint := 'the shortest is every minute: * * * * *';
  elsif cardinality(v_fields) = 6 then
    v_problem := 'it has six fields, seconds are not supported';
    v_hint := format('five fields, without seconds: %s', left(array_to_string(v_fields[2:6], ' '), 100));
  elsif cardinality(v_fields) <> 5 then
    v_problem := format('it must have five fields, got %s', cardinality(v_fields));
  end if;
  if v_problem is not null then
    raise exception using errcode = '22023',
      message = format('cannot read the schedule "%s": %s', left(p_schedule, 100), left(v_problem, 300)),
      hint = coalesce(v_hint, 'five fields: minute, hour, day of month, month, day of week, as in 30 2 * * 1-5');
  end if;

  v_parsed.minutes := scheduler.parse_schedule_field(p_schedule, v_fields[1], 'minute', 0, 59, null);
  v_parsed.hours := scheduler.parse_schedule_field(p_schedule, v_fields[2], 'hour', 0, 23, null);
  v_parsed.days_of_month := scheduler.parse_schedule_field(p_schedule, v_fields[3], 'day of month', 1, 31, null);
  v_parsed.months := scheduler.parse_schedule_field(p_schedule, v_fields[4], 'month', 1, 12,
    '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}');
  v_parsed.days_of_week := scheduler.parse_schedule_field(p_schedule, v_fields[5], 'day of week', 0, 7,
    '{sun,mon,tue,wed,thu,fri,sat}');
  v_parsed.days_must_both_match := v_fields[3] like '*%' or v_fields[5] like '*%';
  v_parsed.follows_real_clock := cardinality(v_parsed.hours) = 24;
  return v_parsed;
end;
$$;
comment on function scheduler.parse_schedule(text) is
  'Reads a five-field schedule: minute, hour, day of month, month, day of week (7 and 0 are Sunday), with lists, '
    'ranges, steps and names. Raises 22023 which quotes the bad part, names the field and gives its range.';

-- Fast enough for the path of a dispatch: pg_timezone_names, which reads every zone's file, is asked only for a
-- name that Postgres would also take as an abbreviation or as a POSIX rule (EST5EDT, Nowhere-3).
create function scheduler.require_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
begin
  if p_time_zone = 'UTC' then
    return;
  end if;
  if p_time_zone ~ '^[A-Za-z_-]+(/[A-Za-z_-]+)+$' then
    begin
      perform timestamptz 'epoch' at time zone p_time_zone;
      return;
    exception when invalid_parameter_value then
      null;  -- refused below, with the names that are near
    end;
  elsif p_time_zone in ('GMT', 'Cuba', 'Egypt', 'Eire', 'GB', 'Hongkong', 'Iran', 'Israel', 'Jamaica', 'Japan', 'NZ',
    'PRC',
      'Poland', 'Portugal', 'ROC', 'ROK', 'Singapore', 'Turkey')
    or p_time_zone ~ '^Etc/GMT([+]([0-9]|1[0-2])|-([0-9]|1[0-4]))$'
    or exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;
  perform scheduler.assert_time_zone(p_time_zone);
end;
$$;
comment on function scheduler.require_time_zone(text) is
  'Raises 22023 for a time zone that Postgres does not know by name. Cheap for the common names; registration is '
    'stricter, see assert_time_zone.';

-- For rows that are read in sets: one zone that this server no longer knows (a restored dump, another tzdata) must not
-- stop the others.
create function scheduler.knows_time_zone(p_time_zone text) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  perform timestamptz 'epoch' at time zone p_time_zone;
  return true;
exception when invalid_parameter_value then
  return false;
end;
$$;
comment on function scheduler.knows_time_zone(text) is 'Whether times can be computed in the zone; null, which stands '
  'for another zone, is known.';

create function scheduler.letter_pairs(p_text text) returns text[]
language sql immutable parallel safe set search_path = '' as $$
  select array(select distinct substr(folded, at, 2) from generate_series(1, length(folded) - 1) as at)
  from (select regexp_replace(lower(p_text collate "C"), '[^a-z/]', '', 'g') as folded) as text
$$;
comment on function scheduler.letter_pairs(text) is 'The pairs of neighbouring letters of a name, to tell how near '
  'two names are.';

create function scheduler.assert_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_wanted text := upper(p_time_zone);
  v_near text;
begin
  -- These names are kept by Postgres for old systems; they look like abbreviations and mean other things in other
  -- places.
  if p_time_zone !~ '^(EST|MST|HST|CET|MET|EET|WET|[A-Z]{3}[0-9][A-Z]{3}'
      '|Factory|posixrules|localtime|(posix|right)/.*)$'
    and exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;

  v_near := case
    when v_wanted in ('ET', 'EST', 'EDT', 'EST5EDT') then 'America/New_York'
    when v_wanted in ('CT', 'CST', 'CDT', 'CST6CDT') then 'America/Chicago'
    when v_wanted in ('MT', 'MST', 'MDT', 'MST7MDT') then 'America/Denver'
    when v_wanted in ('PT', 'PST', 'PDT', 'PST8PDT') then 'America/Los_Angeles'
    when v_wanted in ('AKST', 'AKDT') then 'America/Anchorage'
    when v_wanted in ('HST', 'HDT') then 'Pacific/Honolulu'
    when v_wanted in ('CET', 'CEST', 'MET', 'MEZ', 'MESZ') then 'Europe/Berlin'
    when v_wanted in ('EET', 'EEST') then 'Europe/Athens'
    when v_wanted in ('WET', 'WEST') then 'Europe/Lisbon'
    when v_wanted = 'BST' then 'Europe/London'
    when v_wanted = 'IST' then 'Asia/Kolkata'
    when v_wanted = 'JST' then 'Asia/Tokyo'
    when v_wanted in ('AEST', 'AEDT') then 'Australia/Sydney'
    when v_wanted in ('Z', 'ZULU', 'UTC', 'UCT', 'UTC0', 'UTC+0', 'UTC-0', 'GMT') then 'UTC'
  end;
  v_near := coalesce(v_near, (select name from pg_timezone_names where lower(name) = lower(p_time_zone)
    and name ~ '/'));
  if v_near is null and (p_time_zone ~ '/' or p_time_zone ~ '^[A-Za-z _-]{4,60}$') then
    -- Nearness: the share of letter pairs that two names, or their cities, have in common.
    with wanted as (
      select scheduler.letter_pairs(left(p_time_zone, 60)) as whole,
        scheduler.letter_pairs(regexp_replace(left(p_time_zone, 60), '^.*/', '')) as city
    ), scored as (
      select zones.name, greatest(
          2.0 * cardinality(array(select unnest(zones.whole) intersect select unnest(wanted.whole)))
            / nullif(cardinality(zones.whole) + cardinality(wanted.whole), 0),
          1.8 * cardinality(array(select unnest(zones.city) intersect select unnest(wanted.city)))
            / nullif(cardinality(zones.city) + cardinality(wanted.city), 0)) as score
      from wanted, (
        select name, scheduler.letter_pairs(name) as whole, scheduler.letter_pairs(regexp_replace(name, '^.*/',
          '')) as city
        from pg_timezone_names where name ~ '/' and name !~ '^(posix|right|Etc)/'
      ) as zones
    )
    select string_agg(best.name, ', ' order by best.score desc, best.name) into v_near
    from (select name, score from scored where score >= 0.55 order by score desc, name limit 3) as best;
  end if;
  v_near := coalesce(v_near, (
    select string_agg(name, ', ' order by name)
    from (
      select name from pg_timezone_names
      where abbrev = v_wanted and name ~ '^(Africa|America|Asia|Australia|Europe|Pacific)/' order by name limit 4
    ) as keeping));

  raise exception using errcode = '22023',
    message = format('cannot use the time zone "%s": it must be an IANA name such as America/New_York, or UTC',
      coalesce(left(p_time_zone, 60), 'null')),
    detail = case
      when p_time_zone ~ '[0-9]' then 'a POSIX rule or an offset does not know when the clock changes'
      when p_time_zone ~ '^[A-Za-z]{1,5}$' then 'an abbreviation does not know when the clock changes'
      else 'Postgres knows no zone of that name'
    end,
    hint = case when v_near is null then 'select name from pg_timezone_names lists them all' else format('did you '
      'mean %s?', v_near) end;
end;
$$;
comment on function scheduler.assert_time_zone(text) is
  'For registration: raises 22023, with the names that are near, unless the time zone is an IANA name exactly as '
    'Postgres lists it. Refuses abbreviations (EST) and POSIX rules (EST5EDT). Takes tens of milliseconds: it reads '
    'pg_timezone_names.';

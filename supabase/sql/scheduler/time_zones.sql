-- Judges the names of time zones.

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
  perform scheduler.refuse_time_zone(p_time_zone);
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
comment on function scheduler.knows_time_zone(text) is
  'Whether times can be computed in the zone; null, which stands for another zone, is known.';

create function scheduler.letter_pairs(p_text text) returns text[]
language sql immutable parallel safe set search_path = '' as $$
  select array(select distinct substr(folded, at, 2) from generate_series(1, length(folded) - 1) as at)
  from (select regexp_replace(lower(p_text collate "C"), '[^a-z/]', '', 'g') as folded) as text
$$;
comment on function scheduler.letter_pairs(text) is
  'The pairs of neighbouring letters of a name, to tell how near two names are.';

create function scheduler.zone_of_abbreviation(p_text text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case
    when wanted in ('ET', 'EST', 'EDT', 'EST5EDT') then 'America/New_York'
    when wanted in ('CT', 'CST', 'CDT', 'CST6CDT') then 'America/Chicago'
    when wanted in ('MT', 'MST', 'MDT', 'MST7MDT') then 'America/Denver'
    when wanted in ('PT', 'PST', 'PDT', 'PST8PDT') then 'America/Los_Angeles'
    when wanted in ('AKST', 'AKDT') then 'America/Anchorage'
    when wanted in ('HST', 'HDT') then 'Pacific/Honolulu'
    when wanted in ('CET', 'CEST', 'MET', 'MEZ', 'MESZ') then 'Europe/Berlin'
    when wanted in ('EET', 'EEST') then 'Europe/Athens'
    when wanted in ('WET', 'WEST') then 'Europe/Lisbon'
    when wanted = 'BST' then 'Europe/London'
    when wanted = 'IST' then 'Asia/Kolkata'
    when wanted = 'JST' then 'Asia/Tokyo'
    when wanted in ('AEST', 'AEDT') then 'Australia/Sydney'
    when wanted in ('Z', 'ZULU', 'UTC', 'UCT', 'UTC0', 'UTC+0', 'UTC-0', 'GMT') then 'UTC'
  end
  from (select upper(p_text) as wanted) as text;
$$;
comment on function scheduler.zone_of_abbreviation(text) is
  'The zone that people mean by an abbreviation such as EST or CET; null for one that is not known.';

create function scheduler.similar_time_zones(p_text text) returns text
language sql stable parallel safe set search_path = '' as $$
  -- The score is the share of letter pairs that two names, or their cities, have in common. Materialized:
  -- without it the pairs of the text are made again for each of some 500 zones, which takes 190 ms instead of 70.
  with wanted as materialized (
    select scheduler.letter_pairs(left(p_text, 60)) as whole,
      scheduler.letter_pairs(regexp_replace(left(p_text, 60), '^.*/', '')) as city
  ), zones as (
    select name, scheduler.letter_pairs(name) as whole, scheduler.letter_pairs(regexp_replace(name, '^.*/', '')) as city
    from pg_timezone_names where name ~ '/' and name !~ '^(posix|right|Etc)/'
  ), scored as (
    select zones.name, greatest(
        2.0 * cardinality(array(select unnest(zones.whole) intersect select unnest(wanted.whole)))
          / nullif(cardinality(zones.whole) + cardinality(wanted.whole), 0),
        1.8 * cardinality(array(select unnest(zones.city) intersect select unnest(wanted.city)))
          / nullif(cardinality(zones.city) + cardinality(wanted.city), 0)) as score
    from wanted, zones
  )
  select string_agg(best.name, ', ' order by best.score desc, best.name)
  from (select name, score from scored where score >= 0.55 order by score desc, name limit 3) as best;
$$;
comment on function scheduler.similar_time_zones(text) is
  'Up to three IANA names that are spelled nearly like the text, the nearest first; null when there is none.';

create function scheduler.suggested_time_zones(p_text text) returns text
language sql stable parallel safe set search_path = '' as $$
  select coalesce(
    scheduler.zone_of_abbreviation(p_text),
    (select name from pg_timezone_names where lower(name) = lower(p_text) and name ~ '/'),
    case when p_text ~ '/' or p_text ~ '^[A-Za-z _-]{4,60}$' then scheduler.similar_time_zones(p_text) end,
    -- Zones that keep this abbreviation today.
    (select string_agg(name, ', ' order by name) from (
      select name from pg_timezone_names
      where abbrev = upper(p_text) and name ~ '^(Africa|America|Asia|Australia|Europe|Pacific)/'
      order by name limit 4) as zones));
$$;
comment on function scheduler.suggested_time_zones(text) is
  'The IANA names that somebody who typed the text may have meant, as a list for a message; null when none is near.';

create function scheduler.refuse_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_suggested constant text := scheduler.suggested_time_zones(p_time_zone);
begin
  raise exception using errcode = '22023',
    message = format('cannot use the time zone "%s": it must be an IANA name such as America/New_York, or UTC',
      coalesce(left(p_time_zone, 60), 'null')),
    detail = case
      when p_time_zone ~ '[0-9]' then 'a POSIX rule or an offset does not know when the clock changes'
      when p_time_zone ~ '^[A-Za-z]{1,5}$' then 'an abbreviation does not know when the clock changes'
      else 'Postgres knows no zone of that name'
    end,
    hint = coalesce('did you mean ' || v_suggested || '?', 'select name from pg_timezone_names lists them all');
end;
$$;
comment on function scheduler.refuse_time_zone(text) is
  'Raises 22023 for a time zone that cannot be used, with the names that are near.';

create function scheduler.assert_time_zone(p_time_zone text) returns void
language plpgsql stable parallel safe set search_path = '' as $$
begin
  -- The zone of a job was looked at when that was registered; a dump may have brought it to a server without it.
  if p_time_zone = 'UTC' or scheduler.knows_time_zone(p_time_zone)
    and exists (select from public.scheduler_jobs where time_zone = p_time_zone) then
    return;
  end if;
  -- Postgres keeps these names for old systems; they look like abbreviations, which mean other zones elsewhere.
  if p_time_zone !~ '^(EST|MST|HST|CET|MET|EET|WET|[A-Z]{3}[0-9][A-Z]{3}'
      '|Factory|posixrules|localtime|(posix|right)/.*)$'
    and exists (select from pg_timezone_names where name = p_time_zone) then
    return;
  end if;
  perform scheduler.refuse_time_zone(p_time_zone);
end;
$$;
comment on function scheduler.assert_time_zone(text) is
  'For registration: refuse_time_zone unless the time zone is an IANA name exactly as Postgres lists it. Refuses '
    'abbreviations (EST) and POSIX rules (EST5EDT). Takes tens of milliseconds for a zone that no job has yet: it '
    'reads pg_timezone_names.';

-- Schedules of `N seconds`: their occurrences are the moments whose seconds since 1970-01-01 00:00 UTC N divides.

create function scheduler.moment_of_grid(p_seconds integer, p_at timestamptz, p_further integer) returns timestamptz
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return to_timestamp((floor(extract(epoch from p_at) / p_seconds) + p_further) * p_seconds);
end;
$$;
comment on function scheduler.moment_of_grid(integer, timestamptz, integer) is
  'The last moment at or before p_at that p_seconds since the epoch divide, and p_further of these intervals on: 1 '
    'gives the first one after p_at.';

create function scheduler.count_grid(p_seconds integer, p_from timestamptz, p_to timestamptz) returns bigint
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return greatest(0, ceil(extract(epoch from p_to) / p_seconds) - ceil(extract(epoch from p_from) / p_seconds));
end;
$$;
comment on function scheduler.count_grid(integer, timestamptz, timestamptz) is
  'How many moments in [p_from, p_to) p_seconds since the epoch divide.';

-- An entry of minutes keeps to the grid. pg_cron counts an entry of seconds from its own last start, and each start is
-- some milliseconds late: with the interval as its period it would one day pass over a moment of the grid.
create function scheduler.compile_interval(p_seconds integer) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
declare
  v_step integer;
begin
  if p_seconds % 60 <> 0 then
    return format('%s seconds', greatest(1, least(p_seconds / 2, 59)));
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
$$;
comment on function scheduler.compile_interval(integer) is
  'pg_cron''s entry for a schedule of so many seconds: where it is whole minutes, the longest period of minutes that '
    'divides it; else half of it, at most 59 seconds.';

create function scheduler.entry_needs_seconds(p_entry text) returns boolean
language sql immutable parallel safe set search_path = '' as $$ select p_entry like '%seconds' $$;
comment on function scheduler.entry_needs_seconds(text) is
  'Whether an entry of compile_schedule needs a pg_cron that knows seconds, 1.5 or later.';

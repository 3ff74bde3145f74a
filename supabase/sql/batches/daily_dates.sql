-- Which local date an organization's batch is for. Its calendar: at any moment the latest local date whose time (the
-- hour of its daily batch) has come, in the zone it has then. A date that is later than all before it gets a batch. So
-- a date that comes again after a move to the west gets none, and one that a move to the east leaps over never came.

create type batches.clock as (time_zone text, run_at time);
comment on type batches.clock is 'A zone, and the local time from which a date''s batch runs there.';

create function batches.platform_clock() returns batches.clock
language sql stable set search_path = '' as $$
  select (time_zone, run_at)::batches.clock from batches.daily_settings();
$$;
comment on function batches.platform_clock() is 'The zone and the hour of the settings daily_batch.….';

create function batches.clock_of(p_organization public.organizations, p_platform batches.clock) returns batches.clock
language sql immutable parallel safe set search_path = '' as $$
  select (coalesce(p_organization.time_zone, p_platform.time_zone),
    coalesce(p_organization.daily_run_at, p_platform.run_at))::batches.clock;
$$;
comment on function batches.clock_of(public.organizations, batches.clock) is
  'The clock of an organization, which takes from the platform what it has not of its own.';

create function batches.follows_platform(p_organization public.organizations) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select p_organization.time_zone is null and p_organization.daily_run_at is null;
$$;
comment on function batches.follows_platform(public.organizations) is
  'Whether an organization has neither a zone nor an hour of its own.';

create function batches.comes_at(p_clock batches.clock, p_date date) returns timestamptz
language plpgsql stable parallel safe set search_path = '' as $$
begin
  return scheduler.first_showing(p_date + p_clock.run_at, p_clock.time_zone);
end;
$$;
comment on function batches.comes_at(batches.clock, date) is
  'When the time of a date comes: the end of the gap for a time that spring skips, the first showing of one that '
    'autumn repeats.';

create function batches.date_at(p_clock batches.clock, p_at timestamptz) returns date
language plpgsql stable parallel safe set search_path = '' as $$
declare
  v_local timestamp := p_at at time zone p_clock.time_zone;
  v_date date;
begin
  -- Where the clock has not changed of late, the date follows from what it shows.
  if (p_at - interval '26 hours') at time zone p_clock.time_zone = v_local - interval '26 hours' then
    return (v_local - p_clock.run_at)::date;
  end if;
  for i in reverse 1 .. -1 loop
    v_date := v_local::date + i;
    exit when batches.comes_at(p_clock, v_date) <= p_at;
  end loop;
  return v_date;
end;
$$;
comment on function batches.date_at(batches.clock, timestamptz) is
  'The latest local date whose time had come at that moment.';

create function batches.last_date(p_organization_id uuid) returns date
language sql stable set search_path = '' as $$
  select nullif(last_daily_run_key, '')::date from public.scheduler_state
  where scope = 'organization:' || p_organization_id;
$$;
comment on function batches.last_date(uuid) is
  'The latest local date for which the organization has had its daily batch; null: none yet.';

create function batches.platform_has_had(p_date date) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from public.scheduler_state
    where scope = 'global' and last_daily_run_key >= to_char(p_date, 'YYYY-MM-DD'));
$$;
comment on function batches.platform_has_had(date) is
  'Whether the platform''s own daily batch has begun for that local date, or for a later one. Its mark is that of '
    'try_mark_daily_run without a scope.';

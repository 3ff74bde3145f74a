-- Which organizations are due for which local dates, and taking them: each date at most once.

create function batches.daily_is_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select batches.in_daily_window(p_at)
    and not batches.platform_has_had(batches.date_at(batches.platform_clock(), p_at));
$$;
comment on function batches.daily_is_due(timestamptz) is
  'Whether the platform''s window is open at that moment and its local day has not been run yet.';

create function batches.zoned_is_due(p_at timestamptz) returns boolean
language plpgsql stable set search_path = '' as $$
begin
  -- The first of an index. "exists" read all organizations, by the statistics of a table that was empty a moment ago.
  return coalesce(p_at >= least(
    (select min(next_batch_at) from public.organizations where enabled),
    (select min(due_at) from batches.owed_dates where state = 'owed')), false);
end;
$$;
comment on function batches.zoned_is_due(timestamptz) is
  'Whether an organization''s own cursor has come at that moment, or one is owed a date: two looks into indexes.';

create function batches.candidates(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid, p_until uuid
) returns setof public.organizations
language plpgsql stable set search_path = '' as $$
begin
  return query
  select * from public.organizations
    where p_platform_date is null and enabled and next_batch_at <= case when p_force then 'infinity' else p_now end
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
  union all
  select organizations.*
    from public.organizations
    where p_platform_date is null and enabled
      and id in (select organization_id from batches.owed_dates where state = 'owed' and due_at <= p_now)
      and (next_batch_at <= case when p_force then 'infinity' else p_now end) is not true
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
  union all
  select * from public.organizations
    where p_platform_date is not null and enabled and next_batch_at is null
      and time_zone is null and daily_run_at is null
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until);
end;
$$;
comment on function batches.candidates(date, boolean, timestamptz, uuid, uuid) is
  'The organizations that a tick looks at: with p_platform_date those that follow the platform, else those whose own '
    'cursor has come (with p_force all that have one) or that are owed a date. Only ids after p_after, up to p_until.';

create function batches.dates_to_begin(p_today date, p_owed date[], p_had date) returns date[]
language sql immutable set search_path = '' as $$
  select array(
    select distinct batch_date from unnest(p_owed || p_today) as batch_date
    where batch_date is not null and (p_had is null or batch_date > p_had)
      and (batch_date = any (p_owed) or batch_date > all (p_owed))
    order by batch_date);
$$;
comment on function batches.dates_to_begin(date, date[], date) is
  'The dates to begin now, in order: those that are owed, and today''s date if that is later (null: today''s is not '
    'asked about); none up to the date that the organization had last.';

create type batches.due_organization as (
  id uuid, clock batches.clock, next_batch_at timestamptz, next_after timestamptz, owed date[], dates date[]
);
comment on type batches.due_organization is
  'An organization at a tick: its cursor now and afterwards, the dates it is owed, and those that are begun.';

create function batches.due_organizations(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid, p_until uuid
) returns setof batches.due_organization
language plpgsql stable set search_path = '' as $$
declare
  v_platform batches.clock := batches.platform_clock();
  v_came_at timestamptz := batches.comes_at(v_platform, p_platform_date);
begin
  return query
  with looked_at as (
    select organizations, batches.clock_of(organizations, v_platform) as clock,
      next_batch_at <= p_now as cursor_has_come, batches.last_date(id) as had,
      array(
        select batch_date from batches.owed_dates
        where organization_id = organizations.id and state = 'owed' and due_at <= p_now order by batch_date) as owed,
      -- Not "exists", for which all active prompts are read and hashed, also when one organization is due.
      (select true from public.prompts where organization_id = organizations.id and status = 'active' limit 1) as asks
    from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until) as organizations
  ), dated as materialized (
    select looked_at.*, case
        -- The platform's date was over for organizations that were created after its time.
        when p_platform_date is not null then
          case when (organizations).created_at < v_came_at or p_force then p_platform_date end
        when cursor_has_come or p_force and (organizations).next_batch_at is not null then batches.date_at(clock, p_now)
      end as today
    from looked_at
  )
  select (organizations).id, clock, (organizations).next_batch_at, case
      when cursor_has_come and not batches.follows_platform(organizations)
        then batches.comes_at(clock, greatest(today, owed[cardinality(owed)], had) + 1)
      when not cursor_has_come then (organizations).next_batch_at end,
    owed, case when asks then batches.dates_to_begin(today, owed, had) else array[]::date[] end
  from dated;
end;
$$;
comment on function batches.due_organizations(date, boolean, timestamptz, uuid, uuid) is
  'What the tick finds, for batches.candidates: which dates of each organization are begun. None where it has no '
    'active prompt.';

create type batches.due_date as (organization_id uuid, batch_date date, time_zone text);
comment on type batches.due_date is 'A local date for which an organization gets a batch, and the zone it has then.';

create function batches.take_due_organizations(
  p_platform_date date, p_force boolean, p_now timestamptz, p_after uuid default null, p_until uuid default null
) returns setof batches.due_date
language plpgsql set search_path = '' as $$
declare
  v_due batches.due_organization[];
begin
  -- From here on none of them can be deleted: its batch job could not be made, and the whole statement would fail.
  perform from public.organizations
    where id = any (array(select id from batches.candidates(p_platform_date, p_force, p_now, p_after, p_until)))
    order by id for key share;
  v_due := array(
    select due from batches.due_organizations(p_platform_date, p_force, p_now, p_after, p_until) as due);
  -- An organization that moved meanwhile has set its own cursor.
  update public.organizations set next_batch_at = due.next_after
    from unnest(v_due) as due
    where organizations.id = due.id and organizations.next_batch_at = due.next_batch_at
      and due.next_after is distinct from due.next_batch_at;
  perform scheduler.mark_daily_runs((
    select jsonb_object_agg('organization:' || id, dates[cardinality(dates)])
    from unnest(v_due) where dates <> '{}'), p_now);
  -- What became of the dates that an earlier tick took is forgotten.
  delete from batches.owed_dates as taken using unnest(v_due) as due
    where taken.organization_id = due.id and due.owed <> '{}' and taken.state <> 'owed';
  update batches.owed_dates as taken
    set state = case when taken.batch_date <= batches.last_date(due.id) then 'begun' else 'dropped' end
    from unnest(v_due) as due where taken.organization_id = due.id and taken.batch_date = any (due.owed);
  return query
    select due.id, batch_date, (due.clock).time_zone from unnest(v_due) as due, unnest(due.dates) as batch_date;
end;
$$;
comment on function batches.take_due_organizations(date, boolean, timestamptz, uuid, uuid) is
  'Takes the organizations that are due: those that follow the platform for its date p_platform_date, or, when that '
    'is null, those whose own cursor has come or that are owed a date. Marks the dates, moves the cursors on, and '
    'returns what is to be made. With p_force also organizations that have not had their latest date for another '
    'reason: they had no prompts at its time, or were not there yet. Only ids after p_after, up to p_until. The '
    'caller holds the lock of the daily batch.';

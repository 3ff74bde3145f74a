-- Which organizations are due for which local date. They are marked in the same statement, each date at most once.


create function batches.take_due_organizations(
  p_followers_date date, p_cursors boolean, p_force boolean, p_now timestamptz, p_after uuid default null, p_until uuid default null
) returns table (organization_id uuid, batch_date date, time_zone text)
-- A list that is mostly short, and all else by its keys: by stale statistics whole tables would be read instead.
language plpgsql set search_path = '' set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off set enable_bitmapscan = off as $$
#variable_conflict use_column
declare
  v_platform record;
  v_came_at timestamptz;
  v_until timestamptz := case when p_force then 'infinity' else p_now end;
begin
  select * into v_platform from batches.daily_settings();
  v_came_at := scheduler.first_showing(p_followers_date + v_platform.run_at, v_platform.time_zone);
  return query
  with due as materialized (
    select id, coalesce(time_zone, v_platform.time_zone) as zone, coalesce(daily_run_at, v_platform.run_at) as run_at,
      time_zone is null and daily_run_at is null as follows, owed_batch_dates as owed, next_batch_at,
      batches.date_at(coalesce(time_zone, v_platform.time_zone), coalesce(daily_run_at, v_platform.run_at), p_now) as today
    from public.organizations
    where p_cursors and enabled and next_batch_at <= v_until
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
    union all
    -- The platform's date was over for those that came to be after its time.
    select id, v_platform.time_zone, v_platform.run_at, true, array[]::date[], null, p_followers_date
    from public.organizations
    where p_followers_date is not null and enabled and next_batch_at is null and time_zone is null and daily_run_at is null
      and (created_at < v_came_at or p_force)
      and (p_after is null or id > p_after) and (p_until is null or id <= p_until)
  ), states as materialized (
    select due.*, 'organization:' || id as scope,
      case when owed = '{}' then today else greatest(today, owed[cardinality(owed)]) end as latest,
      (select nullif(last_daily_run_key, '')::date from public.scheduler_state where scope = 'organization:' || due.id) as had,
      (select true from public.prompts where prompts.organization_id = due.id and prompts.status = 'active' limit 1) as asks
    from due
  ), marked as (
    -- try_mark_daily_run for many scopes at once: only a later date counts.
    insert into public.scheduler_state as state (scope, last_daily_run_key, updated_at)
    select scope, to_char(latest, 'YYYY-MM-DD'), p_now from states where asks and (had is null or latest > had) order by scope
    on conflict (scope) do update set last_daily_run_key = excluded.last_daily_run_key, updated_at = excluded.updated_at
      where excluded.last_daily_run_key > state.last_daily_run_key
  ), advanced as (
    -- One that moved while this was computed has set its own cursor.
    update public.organizations as organizations
      set owed_batch_dates = array[]::date[],
        next_batch_at = case when not follows then scheduler.first_showing(greatest(latest, had) + 1 + run_at, zone) end
    from states
    where organizations.id = states.id and states.next_batch_at <= p_now and organizations.next_batch_at = states.next_batch_at
      and organizations.owed_batch_dates = states.owed
  )
  -- After a move to the west today's date may be earlier than what is owed: then it is one that had come before.
  select id, today, zone from states
  where asks and (had is null or today > had) and (owed = '{}' or today > owed[cardinality(owed)])
  union
  select id, owed_date, zone from states, unnest(owed) as owed_date
  where owed <> '{}' and asks and (had is null or owed_date > had);
end;
$$;
comment on function batches.take_due_organizations(date, boolean, boolean, timestamptz, uuid, uuid) is
  'Takes the organizations that are due: those that follow the platform for its date p_followers_date (null: none of them), and with p_cursors those whose own cursor has come, each for the latest date whose time has come and for what it is owed; marks these dates (those of organizations with active prompts), moves the cursors on, and returns what is to be made. With p_force also those that have not had their latest date for another reason: no prompts at its time, or not yet there. Only those with ids after p_after, up to p_until. The caller holds the lock of the daily batch.';

create function batches.daily_is_due(p_at timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select batches.in_daily_window(p_at) and not batches.platform_has_had(batches.date_at(time_zone, run_at, p_at))
  from batches.daily_settings();
$$;
comment on function batches.daily_is_due(timestamptz) is
  'Whether the platform''s window is open at that moment and its local day has not been run yet.';

create function batches.zoned_is_due(p_at timestamptz) returns boolean
language plpgsql stable set search_path = '' set enable_seqscan = off set enable_bitmapscan = off as $$
begin
  return exists (select from public.organizations where enabled and next_batch_at <= p_at);
end;
$$;
comment on function batches.zoned_is_due(timestamptz) is
  'Whether an organization with its own zone or hour is due at that moment: one look into an index.';

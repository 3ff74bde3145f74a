-- The sweep: ends silent sessions, and sets devices online and offline by the sessions that are left.
--
-- It never waits for a device. A row that another transaction has locked is skipped and counted; the next run looks at
-- it again. A heartbeat that was committed while a step ran is seen: the condition is evaluated again on the row once
-- it is locked (read committed, which PostgREST uses). Sessions are locked `for no key update`, as heartbeats lock
-- them: so inserts of rows that refer to a session do not wait.

insert into public.scheduler_settings (pack, key, default_value, unit, least, most, description) values
  ('devices', 'device_connections.heartbeat_timeout_seconds', '300', 's', 10, 86400, 'a session whose last heartbeat '
    'is older than this is ended by monitor-device-connections');

create function devices.devices_to_sweep(p_after uuid, p_until uuid, p_limit integer) returns uuid[]
language plpgsql stable set search_path = '' as $$
begin
  -- Most devices of an old fleet are offline and have no open session: they are never read.
  return array(
    select either.id
    from (
      (select distinct s.device_id as id from public.device_connection_sessions s
       where s.disconnected_at is null and s.device_id > p_after and s.device_id <= p_until
       order by id limit p_limit)
      union
      (select d.id from public.devices d
       where d.status = 'online' and d.id > p_after and d.id <= p_until
       order by d.id limit p_limit)
    ) either
    order by either.id
    limit p_limit);
end;
$$;
comment on function devices.devices_to_sweep(uuid, uuid, integer) is
  'The first p_limit devices with ids in (p_after, p_until], by id, that have an open session or are online.';

-- A heartbeat from the future was written before the database's clock was set back: the device lived then, which was no
-- later than now. Left as it is, it would keep the session open until then. A heartbeat that is ahead by less than the
-- timeout stays: it ends its session later by less than the timeout.
create function devices.correct_heartbeats(
  p_after uuid, p_last uuid, p_timeout interval, p_limit bigint, p_now timestamptz
) returns bigint
language plpgsql volatile set search_path = '' as $$
declare
  v_corrected bigint;
begin
  with ahead as (
    select s.id
    from public.device_connection_sessions s
    where s.disconnected_at is null and s.device_id > p_after and s.device_id <= p_last
      and coalesce(s.last_heartbeat_at, s.connected_at) > p_now + p_timeout
    limit p_limit
    for no key update skip locked
  )
  update public.device_connection_sessions s
  set connected_at = least(s.connected_at, p_now), last_heartbeat_at = p_now
  from ahead
  where s.id = ahead.id;
  get diagnostics v_corrected = row_count;
  return v_corrected;
end;
$$;
comment on function devices.correct_heartbeats(uuid, uuid, interval, bigint, timestamptz) is
  'Sets heartbeats that are ahead of p_now by more than the timeout to p_now, p_limit at most. Returns how many.';

create function devices.end_silent_sessions(
  p_after uuid, p_last uuid, p_timeout interval, p_limit bigint, p_now timestamptz
) returns bigint
language plpgsql volatile set search_path = '' as $$
declare
  v_ended bigint;
begin
  with silent as (
    select s.id
    from public.device_connection_sessions s
    where s.disconnected_at is null and s.device_id > p_after and s.device_id <= p_last
      and coalesce(s.last_heartbeat_at, s.connected_at) < p_now - p_timeout
    limit p_limit
    for no key update skip locked
  )
  update public.device_connection_sessions s
  set status = 'timed_out', disconnected_at = coalesce(s.last_heartbeat_at, s.connected_at),
    disconnect_reason = 'heartbeat_timeout'
  from silent
  where s.id = silent.id;
  get diagnostics v_ended = row_count;
  return v_ended;
end;
$$;
comment on function devices.end_silent_sessions(uuid, uuid, interval, bigint, timestamptz) is
  'Ends sessions without a heartbeat for longer than the timeout, p_limit at most. Returns how many.';

create function devices.differing_devices(p_devices uuid[], p_now timestamptz) returns uuid[]
language plpgsql stable set search_path = '' as $$
begin
  return array(
    select d.id
    from unnest(p_devices) as w (id)
    join public.devices d on d.id = w.id
    left join lateral (
      select max(least(coalesce(s.last_heartbeat_at, s.connected_at), p_now)) as heard_at
      from public.device_connection_sessions s
      where s.device_id = d.id and s.disconnected_at is null
    ) live on true
    where d.status = case when live.heard_at is null then 'online' else 'offline' end
      -- Written at every run, last_seen_at would rewrite the rows of the whole fleet three times an hour.
      or d.status = 'online' and coalesce(d.last_seen_at, '-infinity') < live.heard_at - interval '1 hour');
end;
$$;
comment on function devices.differing_devices(uuid[], timestamptz) is
  'Those of the devices whose row differs from their open sessions: in its status, or by more than an hour in '
    'last_seen_at.';

create function devices.set_statuses(
  p_devices uuid[], p_now timestamptz, out devices_online bigint, out devices_offline bigint
)
language plpgsql volatile set search_path = '' as $$
begin
  with found as (
    select d.id, d.status as was, case when live.heard_at is null then 'offline' else 'online' end as status,
      coalesce(live.heard_at, (
        select least(greatest(s.connected_at, s.last_heartbeat_at, s.disconnected_at), p_now)
        from public.device_connection_sessions s
        where s.device_id = d.id
        order by s.connected_at desc
        limit 1
      )) as heard_at
    from public.devices d
    left join lateral (
      select max(least(coalesce(s.last_heartbeat_at, s.connected_at), p_now)) as heard_at
      from public.device_connection_sessions s
      where s.device_id = d.id and s.disconnected_at is null
    ) live on true
    where d.id = any (p_devices) and d.status in ('online', 'offline')
  ), written as (
    update public.devices d
    set status = found.status, last_seen_at = greatest(d.last_seen_at, found.heard_at)
    from found
    where d.id = found.id
      and (d.status, d.last_seen_at) is distinct from (found.status, greatest(d.last_seen_at, found.heard_at))
    returning found.was, found.status
  )
  select
    count(*) filter (where written.status = 'online' and written.was = 'offline'),
    count(*) filter (where written.status = 'offline' and written.was = 'online')
  into devices_online, devices_offline
  from written;
end;
$$;
comment on function devices.set_statuses(uuid[], timestamptz) is
  'Sets devices online or offline, and when they were last seen, by their sessions. The caller has locked their rows. '
    'Returns how many came online and went offline.';

create function devices.sweep_connections(
  p_after uuid default null,
  p_until uuid default null,
  p_max_devices integer default 2000,
  p_now timestamptz default now()
) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  v_timeout constant interval :=
    make_interval(secs => scheduler.setting('device_connections.heartbeat_timeout_seconds'));
  v_after constant uuid := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
  v_max_sessions constant bigint := 2 * p_max_devices;
  v_devices uuid[];
  v_last uuid;
  v_result jsonb;
  v_differing uuid[];
  v_locked uuid[];
begin
  if p_max_devices is null or p_max_devices not between 1 and 10000 then
    raise exception using errcode = '22023',
      message = format('Cannot sweep connections: p_max_devices must be 1 to 10000, got %s',
        coalesce(p_max_devices::text, 'null'));
  end if;
  v_devices := devices.devices_to_sweep(v_after, coalesce(p_until, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
    p_max_devices);
  v_last := v_devices[cardinality(v_devices)];
  v_result := jsonb_build_object(
    'heartbeats_corrected', devices.correct_heartbeats(v_after, v_last, v_timeout, v_max_sessions, p_now),
    'sessions_ended', devices.end_silent_sessions(v_after, v_last, v_timeout, v_max_sessions, p_now));

  -- A device may have opened thousands of sessions and closed none. A step is bounded all the same: the next one looks
  -- at the same devices, which have fewer open sessions then.
  if to_jsonb(v_max_sessions) in (v_result -> 'heartbeats_corrected', v_result -> 'sessions_ended') then
    return v_result || jsonb_build_object('next_after', v_after, 'devices', 0, 'devices_online', 0,
      'devices_offline', 0, 'left', 0);
  end if;

  v_differing := devices.differing_devices(v_devices, p_now);
  -- `for update`, because a new session's foreign key waits for it: a device that connected between the look at its
  -- sessions and the update of its row would be set offline with an open session. So its sessions are looked at again
  -- under the lock.
  v_locked := array(select d.id from public.devices d where d.id = any (v_differing) for update skip locked);
  return v_result || to_jsonb(devices.set_statuses(v_locked, p_now)) || jsonb_build_object(
    'next_after', case when cardinality(v_devices) = p_max_devices then v_last end,
    'devices', cardinality(v_devices),
    'left', cardinality(v_differing) - cardinality(v_locked) + (
      select count(*) from public.device_connection_sessions s
      where s.disconnected_at is null and s.device_id > v_after and s.device_id <= v_last
        and coalesce(s.last_heartbeat_at, s.connected_at) < p_now - v_timeout));
end;
$$;
comment on function devices.sweep_connections(uuid, uuid, integer, timestamptz) is
  'One step of the sweep, over the next p_max_devices devices with ids in (p_after, p_until]; next_after is where the '
    'next step goes on, null at the end';

create function public.monitor_device_connections_sweep(
  p_after uuid default null, p_until uuid default null, p_max_devices integer default 2000
) returns jsonb
language sql security definer set search_path = '' as $$
  select devices.sweep_connections(p_after, p_until, p_max_devices);
$$;
comment on function public.monitor_device_connections_sweep(uuid, uuid, integer) is
  'devices.sweep_connections by the clock of the database.';

revoke all on function
  public.monitor_device_connections_sweep(uuid, uuid, integer)
from public, anon, authenticated, service_role;
grant execute on function public.monitor_device_connections_sweep(uuid, uuid, integer) to service_role;
